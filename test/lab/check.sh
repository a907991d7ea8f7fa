#!/usr/bin/env bash
# Checks the lab itself: that run.sh does what README.md promises, and that the devices which the tests need are there.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/cache.sh"

run() { "$lab_scripts/run.sh" "$@"; }

status_of() {
  local status=0
  "$@" > /dev/null 2>&1 || status=$?
  echo "$status"
}

expect() { # WHAT WANTED GOT
  [ "$2" = "$3" ] || die "$1: wanted '$2', got '$3'"
  echo "ok: $1"
}

check_status() {
  expect 'the exit status comes back' 7 "$(status_of run -- sh -c 'exit 7')"
  expect 'a signal comes back as a shell has it' 137 "$(status_of run -- sh -c 'kill -KILL $$')"
  expect 'a time-out is 124' 124 "$(status_of run --timeout 15 -- sleep 100)"
  expect 'what the command left behind does not hold it up' 3 "$(status_of run --timeout 60 -- sh -c 'sleep 900 & exit 3')"
  expect 'a machine that cannot boot is 125' 125 "$(status_of run --append rdinit=/none -- true)"
}

check_output() {
  local folder
  folder=$(mktemp -d)
  run --env 'NAME=a value' -- bash -c 'head -c 5000000 /dev/urandom | tee /tmp/all; { sha256sum < /tmp/all; echo "$NAME"; } >&2' \
    > "$folder/out" 2> "$folder/err"
  expect 'five megabytes arrive undamaged' "$(sha256sum < "$folder/out")" "$(head -n 1 "$folder/err")"
  expect 'variables arrive' 'a value' "$(tail -n 1 "$folder/err")"
  rm -rf -- "$folder"
}

# Two machines at once write the same file of the shared root file system.
check_two() {
  local folder one
  folder=$(mktemp -d)
  run -- sh -c 'echo one > /etc/who; sleep 5; cat /etc/who' > "$folder/one" &
  one=$!
  expect 'the second of two machines has its own files' two "$(run -- sh -c 'echo two > /etc/who; sleep 5; cat /etc/who')"
  wait "$one"
  expect 'so has the first' one "$(cat -- "$folder/one")"
  [ ! -e "$lab/rootfs/etc/who" ] || die 'a machine wrote to the shared root file system'
  rm -rf -- "$folder"
}

# Sleeps for twenty minutes of the machine's clock, then polls the clock for one second.
check_leap() {
  local start=$SECONDS
  # shellcheck disable=SC2016
  expect 'a clock that leaps goes on' 1200 "$(run --leap -- sh -c 'a=$(date +%s); sleep 1200; echo $(($(date +%s) - a))')"
  expect 'who works until a time has come gets there' done "$(run --leap -- node -p 'const end = Date.now() + 1000; while (Date.now() < end); "done"')"
  [ $((SECONDS - start)) -lt 120 ] || die "a clock that leaps took $((SECONDS - start)) s"
  echo 'ok: no time is waited for'
}

check_devices() {
  run -- bash -euxc '
    PATH=$PATH:/checkout/test/lab/guest
    v4l2-ctl -d "$(modules.sh vivid n_devs=1 node_types=0x1)" --stream-mmap=4 --stream-count=5 --stream-to=/tmp/frames
    [ "$(stat -c %s /tmp/frames)" = $((5 * 320 * 240 * 2)) ]
    modprobe -r vivid && modules.sh vivid n_devs=1 node_types=0x1 multiplanar=2
    modules.sh vim2m; modules.sh vicodec; modules.sh visl
    for node in /dev/video*; do v4l2-ctl -d "$node" --info | grep -E "Card type"; done
    modprobe -a cuse kvm-amd vhci-hcd uvcvideo
    ls /dev/udmabuf /dev/cuse /dev/kvm /dev/dma_heap/system
    node -v
    qemu-system-x86_64 --version | grep "version 11.1"
    qemu-system-x86_64 -device help | grep vhost-user-test-device-pci
  ' || die 'a device is missing: the last command above'
  echo 'ok: devices'
}

hold_lab 1
check_status
check_output
check_two
check_leap
check_devices
