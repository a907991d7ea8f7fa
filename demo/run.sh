#!/usr/bin/env bash
# `npm run demo` sends a camera's frames through the bridge, on any Debian machine. The lab's machine runs vivid, the daemon
# and its client. The picture is demo/frame.png.
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

# If this machine has a camera, prints the commands that show it through the bridge.
own_camera() {
  local nodes=(/dev/video*)
  [ -e "${nodes[0]}" ] || return 0
  cat << END

This machine has ${nodes[*]}. To see one of them through the bridge:
  node dist/bin/cli.js list
  node dist/bin/cli.js serve --device ${nodes[0]} --socket-path /run/vmb-video0.sock &
  node dist/bin/cli.js probe /run/vmb-video0.sock --output frame.png
END
}

main
