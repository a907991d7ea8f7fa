#!/usr/bin/env bash
# Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer into build/Sanitized (again only if its sources
# have changed) and runs COMMAND with it. Without a command it only builds.
#   test/sanitize.sh [COMMAND [ARGUMENT]...]
set -euo pipefail
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$checkout/test/prepare.sh"

folder=$checkout/build/Sanitized
addon=$folder/virtio_media_bridge.node

sources_hash() {
  (cd -- "$checkout" && find binding.gyp addon test/sanitize.sh -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
    sha256sum | cut -c1-16
}

# Builds in a copy of the sources: node-gyp has only one build folder, and the ordinary addon is in it.
build() {
  local work
  find_node_headers
  mkdir -p -- "$folder"
  work=$(mktemp -d "$folder/build.XXXXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf -- '$work'" EXIT
  cp -R -- "$checkout/binding.gyp" "$checkout/package.json" "$checkout/addon" "$work"
  ln -s -- "$checkout/node_modules" "$work/node_modules"
  if ! (cd -- "$work" && JOBS=max node node_modules/node-gyp/bin/node-gyp.js rebuild --loglevel=error -- -Dsanitize=1) > "$work/log" 2>&1; then
    tail -n 30 -- "$work/log" >&2
    exit 1
  fi
  mv -- "$work/build/Release/virtio_media_bridge.node" "$addon"
  # Put the libraries beside the addon: another machine that shares the checkout needs them too.
  cp -L -- "$(g++ -print-file-name=libasan.so)" "$folder/libasan.so"
  cp -L -- "$(g++ -print-file-name=libubsan.so)" "$folder/libubsan.so"
  sources_hash > "$folder/sources"
}

if [ ! -e "$addon" ] || [ "$(sources_hash)" != "$(cat -- "$folder/sources" 2> /dev/null)" ]; then (build); fi
[ $# -gt 0 ] || exit 0

# detect_leaks: node frees nothing when it ends, and the tests count descriptors and mappings themselves.
# use_sigaltstack: V8's threads have small stacks. handle_segv: V8 handles its own faults.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:use_sigaltstack=0:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
export VMB_ADDON=$addon LD_PRELOAD=$folder/libasan.so:$folder/libubsan.so
exec "$@"
