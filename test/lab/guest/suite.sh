#!/bin/bash
# Runs inside the lab: every test that wants a V4L2 node or a VMM. Names of folders as arguments run only those.
set -uo pipefail
cd /checkout || exit 1
status=0

mocha() {
  node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "$@" || status=1
}

# Modules are found and read from memory three times as fast as from the host's folder, by every process of every test.
# Of node_modules the compilers stay where they are.
in_memory() {
  local folder=$1
  shift
  mkdir "/tmp/$folder" && tar -C "$folder" "$@" -cf - . | tar -C "/tmp/$folder" -xf - && mount --bind "/tmp/$folder" "$folder"
}
in_memory dist || exit 1
in_memory node_modules --exclude=./{@biomejs,@typescript,typescript,@types,node-gyp,undici,tar} || exit 1

# Cameras of one plane and of several, and three codecs. VMB_FUZZ_OPERATIONS is of each.
fuzz() {
  local codecs
  modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2
  codecs=$(test/lab/guest/modules.sh vicodec)
  VMB_FUZZ_DEVICES="/dev/video0 /dev/video1 ${codecs//$'\n'/ }" VMB_FUZZ_OPERATIONS=${VMB_FUZZ_OPERATIONS:-1000} mocha dist/test/fuzz/fuzz.test.js
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
    mocha "dist/test/$folder/**/*.test.js"
  done
done
exit $status
