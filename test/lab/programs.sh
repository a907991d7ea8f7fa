#!/usr/bin/env bash
# Builds what the tests in the lab use besides the checkout: the USB camera, the guest driver of programs, and an addon
# that the lab's node can load. Builds on the host, without emulation, and only what is missing.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../steps.sh"

log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
step 'the USB camera' "$log" "$here/usb-camera/build.sh"
step 'the guest driver of programs' "$log" "$here/../preload/build.sh"
step 'the addon in the lab' "$log" "$here/addon.sh"
