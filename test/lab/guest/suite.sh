#!/bin/bash
# Runs inside the lab: every test that wants a V4L2 node or a VMM, or those named: folders, as "vmm", and files of them, as "lab/capture".
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

# A camera of one plane and one of several; test/lab, test/vmm and test/preload load what they want themselves.
device() {
  modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2
  mocha 'dist/test/device/**/*.test.js'
}

[ $# -gt 0 ] || set -- device fuzz lab vmm preload
files=()
for part; do
  case $part in
    device | fuzz) printf '\n-- %s (in the lab)\n' "$part" && "$part" ;;
    */*) files+=("dist/test/$part.test.js") ;;
    *) files+=("dist/test/$part/**/*.test.js") ;;
  esac
done
# One process for all of them: node takes seconds to start in emulation.
if [ ${#files[@]} -gt 0 ]; then mocha "${files[@]}"; fi
exit $status
