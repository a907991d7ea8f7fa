#!/bin/bash
# Runs inside the lab: every test that wants a V4L2 node or a VMM. Names of folders as arguments run only those.
set -uo pipefail
cd /checkout || exit 1
status=0
for part in "${@:-device lab vmm preload}"; do
  for folder in $part; do
    printf '\n-- %s (in the lab)\n' "$folder"
    # A camera of one plane and one of several; test/lab and test/vmm load what they want themselves.
    if [ "$folder" = device ]; then modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2; fi
    node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "dist/test/$folder/**/*.test.js" || status=1
  done
done
exit $status
