#!/usr/bin/env bash
# `npm test`: builds, checks, runs every part, and ends with a line that counts. A part that cannot run is counted as
# skipped and says why; VMB_REQUIRE_LAB=1 makes a skipped lab a failure.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/prepare.sh"

results=$(mktemp)
trap 'rm -f -- "$results"' EXIT
summary=()

# One part: its output is shown and its tallies are kept. It fails also where it ends without a tally.
part() {
  local name=$1 output status=0
  shift
  heading "$name"
  output=$(mktemp)
  "$@" 2>&1 | tee "$output" || status=$?
  if ! grep '^tally: ' "$output" >> "$results" || { [ $status != 0 ] && ! grep -q '^tally: .* [1-9][0-9]* failed' "$output"; }; then
    printf 'tally: 0 passed, 1 failed, 0 skipped\n' >> "$results"
    summary+=("FAILED   $name (exit status $status)")
  elif [ $status != 0 ]; then
    summary+=("FAILED   $name")
  else
    summary+=("passed   $name")
  fi
  rm -f -- "$output"
}

skip() {
  printf '\n!! SKIPPED: %s\n' "$1" >&2
  printf 'tally: 0 passed, 0 failed, 1 skipped\n' >> "$results"
  summary+=("SKIPPED  $1")
}

mocha() {
  node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "$@"
}

lint() {
  if npm run --silent lint; then echo 'tally: 1 passed, 0 failed, 0 skipped'; else return 1; fi
}

# With the sanitized ones a million in all, the lab's on top.
fuzz() {
  VMB_FUZZ_OPERATIONS=940000 mocha dist/test/fuzz/fuzz.test.js
}

# The addon's own tests, and the fuzzers, under AddressSanitizer and UndefinedBehaviorSanitizer.
sanitized() {
  test/sanitize.sh node node_modules/mocha/bin/mocha.js --reporter test/tally.cjs 'dist/test/addon/**/*.test.js' &&
    VMB_FUZZ_SANITIZE=1 VMB_FUZZ_OPERATIONS=60000 mocha dist/test/fuzz/fuzz.test.js
}

# Everything that wants a V4L2 node runs in the lab's machine; its build is kept and reused.
lab() {
  if [ "$(id -u)" != 0 ]; then
    skip 'lab: the machine with V4L2 devices is made and run as root'
  elif ! test/lab/build.sh; then
    skip 'lab: it could not be built, see above'
  else
    part 'lab: real V4L2 drivers, a real QEMU, unmodified programs' machine
  fi
}

# The camera and the guest driver of programs are built outside, at full speed.
machine() {
  test/lab/usb-camera/build.sh > /dev/null && test/preload/build.sh > /dev/null &&
    test/lab/run.sh --timeout 3600 -- /checkout/test/lab/guest/suite.sh
}

main() {
  prepare
  part 'lint' lint
  part 'unit' mocha 'dist/test/unit/**/*.test.js' 'dist/test/*.test.js'
  part 'addon' mocha 'dist/test/addon/**/*.test.js'
  part 'fuzz' fuzz
  part 'sanitized: the addon and the fuzzers under AddressSanitizer and UndefinedBehaviorSanitizer' sanitized
  lab
  heading 'result'
  printf '%s\n' "${summary[@]}"
  awk '{ passed += $2; failed += $4; skipped += $6 }
       END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' "$results" || exit 1
  if [ "${VMB_REQUIRE_LAB:-}" = 1 ] && printf '%s\n' "${summary[@]}" | grep -q '^SKIPPED'; then
    echo 'A part was skipped, which counts as a failure here.' >&2
    exit 1
  fi
}

main
