#!/bin/bash
# Runs inside the lab: every test that wants a V4L2 node or a VMM. Names of folders as arguments run only those.
set -uo pipefail
cd /checkout || exit 1
status=0
for part in "${@:-device lab vmm}"; do
  for folder in $part; do
    printf '\n-- %s (in the lab)\n' "$folder"
    node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "dist/test/$folder/**/*.test.js" || status=1
  done
done
exit $status
