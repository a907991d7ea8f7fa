#!/usr/bin/env bash
# Builds the demo's machine: a small lab. If the host's addon does not load in it, the addon must be built inside, and that needs the whole lab.
set -euo pipefail
lab=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../test/lab" && pwd -P)

"$lab/build.sh" --demo
VMB_LAB=demo "$lab/addon.sh" --loads || "$lab/build.sh"
