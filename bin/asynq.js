#!/usr/bin/env node
// CommonJS (bin/package.json): it starts 4 ms sooner than an ES module.
const { loadProgram } = require('../dist/bundle/boot.js')
loadProgram(require('node:path').join(__dirname, '../dist/bundle'), require).main(process.argv.slice(2))
