#!/usr/bin/env bash
# Frames of real drivers at their highest rate: a native program beside the same program behind the bridge. Runs in the
# lab, on its kernel as a program, with a clock that does not skip. Usage: test/bench/drivers.sh [FRAMES]
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../lab/cache.sh"
. "$lab_scripts/inside.sh"

output=$checkout/build/bench-lab
mkdir -p -- "$output"
need_root
hold_lab 1
inside "$output" 'cd /checkout/test/bench/native &&
  gcc -std=gnu17 -O2 -Wall -Wextra -Werror -o /mnt/flow flow.c node.c series.c' >&2
"$here/../preload/build.sh" >/dev/null
VMB_LAB_ACCEL=um exec "$here/../lab/run.sh" --timeout 1200 -- node dist/test/bench/drivers.js "${1:-2000}"
