#!/usr/bin/env bash
# Runs the interop suite against real Go asynq. Needs go and its module proxy.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec npx mocha --no-config --node-option import=tsx --require test/support/hooks.ts \
  --reporter test/support/reporter.cjs --timeout 60000 'test/interop/*.test.ts'
