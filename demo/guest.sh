#!/bin/bash
# The part of the demo that runs inside the lab: vivid's camera, the daemon, the client.
set -euo pipefail
cd /checkout
socket=/run/vmb-demo.sock

modprobe vivid n_devs=1 node_types=0x1
echo 'vivid is loaded; the nodes of this machine:'
node dist/bin/cli.js list
printf '\nserve starts\n'
node dist/bin/cli.js serve --device /dev/video0 --socket-path "$socket" --log-level warn > /run/serve.txt &
daemon=$!
trap 'kill "$daemon" 2> /dev/null || true' EXIT
for _ in $(seq 100); do
  [ -S "$socket" ] && break
  kill -0 "$daemon" || exit 1
  sleep 0.1
done
echo 'probe takes 30 frames'
node dist/bin/cli.js probe "$socket" --frames 30 --format YUYV --size 640x360 --output demo/frame.png
printf '\nThe daemon printed these options for a VMM:\n'
cat /run/serve.txt
