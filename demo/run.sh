#!/usr/bin/env bash
# `npm run demo`: a camera's frames through the bridge, on any Debian machine: vivid in the lab's machine, the daemon
# and its client beside it, a picture in demo/frame.png.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../test/prepare.sh"

main() {
  prepare demo
  node dist/test/circles/main.js demo
  rm -f demo/frame.png
  printf '\n== demo: a machine with the kernel'"'"'s test camera boots, in software emulation\n'
  VMB_LAB=demo test/lab/run.sh --tell --timeout 600 -- /checkout/demo/guest.sh
  [ -s demo/frame.png ] || { echo 'The demo wrote no picture.' >&2; exit 1; }
  printf '\nThe picture is demo/frame.png: look at it.\n'
  own_camera
}

# What to run where this machine has a camera of its own.
own_camera() {
  local nodes=(/dev/video*)
  [ -e "${nodes[0]}" ] || return 0
  cat << END

This machine has ${nodes[*]}. To see one of them through the bridge:
  node dist/src/cli.js list
  node dist/src/cli.js serve --device ${nodes[0]} --socket-path /run/vmb-video0.sock &
  node dist/src/cli.js probe /run/vmb-video0.sock --output frame.png
END
}

main
