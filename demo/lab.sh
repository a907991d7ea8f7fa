#!/usr/bin/env bash
# The machine of the demo: a small lab, or the whole one where the addon of this host does not load in it and has to be built there.
set -euo pipefail
lab=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../test/lab" && pwd -P)

"$lab/build.sh" --demo
VMB_LAB=demo "$lab/addon.sh" --loads || "$lab/build.sh"
