#!/bin/bash
# Runs inside the lab: every test that wants a V4L2 node or a VMM. Names of folders as arguments run only those.
set -uo pipefail
cd /checkout || exit 1
status=0

# One after the other: cameras of one plane and of several, and three codecs. VMB_FUZZ_OPERATIONS is of each.
fuzz() {
  local node
  modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2
  for node in /dev/video0 /dev/video1 $(test/lab/guest/modules.sh vicodec); do
    VMB_FUZZ_DEVICE=$node VMB_FUZZ_OPERATIONS=${VMB_FUZZ_OPERATIONS:-1000} \
      node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs dist/test/fuzz/fuzz.test.js || status=1
  done
  modprobe -r vicodec
}

for part in "${@:-device fuzz lab vmm preload}"; do
  for folder in $part; do
    printf '\n-- %s (in the lab)\n' "$folder"
    if [ "$folder" = fuzz ]; then
      fuzz
      continue
    fi
    # A camera of one plane and one of several; test/lab and test/vmm load what they want themselves.
    if [ "$folder" = device ]; then modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2; fi
    node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "dist/test/$folder/**/*.test.js" || status=1
  done
done
exit $status
