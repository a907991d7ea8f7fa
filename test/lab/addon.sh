#!/usr/bin/env bash
# Prints the path of an addon that the lab's node can load: the checkout's own if it loads, else one that is built in
# the lab's root file system (a host newer than the lab makes addons that need a newer libc). run.sh calls it, and
# passes the second kind to the programs in the machine as VMB_ADDON. --loads: exit status 0 if the checkout's own
# loads.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/cache.sh"
. "$lab_scripts/inside.sh"

own=$checkout/build/Release/virtio_media_bridge.node

loads() {
  [ -e "$1" ] || return
  local folder name
  folder=$(dirname -- "$1") name=$(basename -- "$1")
  inside "$folder" "node -e 'require(\"/mnt/$name\")'" 2> /dev/null
}

sources_hash() {
  (cd -- "$checkout" && find binding.gyp package.json addon -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
    sha256sum | cut -c1-16
}

# Prints the path of node-gyp for the build: the checkout's own, or a copy of the one in npm.
node_gyp() {
  local npm
  if [ -e "$checkout/node_modules/node-gyp/bin/node-gyp.js" ]; then
    echo /checkout/node_modules/node-gyp
    return
  fi
  npm=$(npm root -g 2> /dev/null)/npm/node_modules
  [ -e "$npm/node-gyp/bin/node-gyp.js" ] || die "there is no node-gyp: install npm, which brings it"
  mkdir -- "$work/gyp"
  cp -R -- "$npm" "$work/gyp/node_modules"
  echo /mnt/gyp/node_modules/node-gyp
}

build() {
  local built=$1 gyp
  mkdir -p -- "$lab_dir/addon"
  work=$(mktemp -d "$lab_dir/addon/build.XXXXXXXX")
  trap 'rm -rf --one-file-system -- "$work"' EXIT
  gyp=$(node_gyp)
  cp -R -- "$checkout/binding.gyp" "$checkout/package.json" "$checkout/addon" "$work"
  ln -s /checkout/node_modules "$work/node_modules"
  if ! inside "$work" "cd /mnt && node $gyp/bin/node-gyp.js rebuild --nodedir=/usr" > "$work/log" 2>&1; then
    tail -n 30 -- "$work/log" >&2
    die "the addon does not build in the lab: the lines above say why"
  fi
  mv -- "$work/build/Release/virtio_media_bridge.node" "$built"
}

main() {
  need_root
  hold_lab 1
  if [ "${1:-}" = --loads ]; then
    loads "$own"
    return
  fi
  if loads "$own"; then
    echo "$own"
    return
  fi
  [ -e "$checkout/node_modules/node-addon-api" ] || die "there are no node_modules in $checkout: run npm ci"
  local built
  built=$lab_dir/addon/$(sources_hash).node
  [ -e "$built" ] || build "$built"
  loads "$built" || die "the addon was built in the lab and does not load there: ${built}"
  echo "$built"
}

main "$@"
