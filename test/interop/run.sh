#!/usr/bin/env bash
# Runs the interop suite against real Go asynq, and prints what was held. Needs go and its module proxy.
# ASYNQ_GO_CLI names the binary of Go's command line; without it, it is built with `go install`.
set -euo pipefail
cd "$(dirname "$0")/../.."
node scripts/build.mjs
exec npx mocha --no-config --node-option import=tsx --require test/support/hooks.ts \
  --reporter test/support/reporter.cjs --timeout 60000 "${@:-test/interop/*.test.ts}"
