#!/bin/bash
# Runs inside the lab: all tests that need a V4L2 node or a VMM, or those that are named: folders such as "vmm", and
# files such as "lab/capture".
set -uo pipefail
cd /checkout || exit 1
status=0

mocha() {
  node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "$@" || status=1
}

# Every process of every test finds and reads modules from memory three times as fast as from the host's folder. The
# compilers of node_modules are not copied.
in_memory() {
  local folder=$1
  shift
  mkdir "/tmp/$folder" && tar -C "$folder" "$@" -cf - . | tar -C "/tmp/$folder" -xf - && mount --bind "/tmp/$folder" "$folder"
}
in_memory dist || exit 1
in_memory node_modules --exclude=./{@biomejs,@typescript,typescript,@types,node-gyp,undici,tar} || exit 1

# Cameras with one plane and with several, and three codecs. VMB_FUZZ_OPERATIONS counts for each node.
fuzz() {
  local codecs
  modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2
  codecs=$(test/lab/guest/modules.sh vicodec)
  VMB_FUZZ_DEVICES="/dev/video0 /dev/video1 ${codecs//$'\n'/ }" VMB_FUZZ_OPERATIONS=${VMB_FUZZ_OPERATIONS:-1000} mocha dist/test/fuzz/fuzz.test.js
  modprobe -r vicodec
}

# One camera with one plane and one with several. test/lab, test/vmm and test/preload load their own modules.
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
# One process for all files, because node takes seconds to start in emulation.
if [ ${#files[@]} -gt 0 ]; then mocha "${files[@]}"; fi
exit $status
