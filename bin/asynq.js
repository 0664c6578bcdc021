#!/usr/bin/env node
// CommonJS (bin/package.json): it starts 4 ms sooner than an ES module.
require('../dist/bundle/main.js').main(process.argv.slice(2))
