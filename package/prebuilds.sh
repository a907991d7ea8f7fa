#!/usr/bin/env bash
# Makes the prebuilt addons prebuilds/linux-ARCH/virtio_media_bridge.node of the npm package. Each is built again only if its sources or its compiler
# have changed. Fails if one needs a newer system than docs/installation.md says, which a newer compiler may cause.
set -euo pipefail
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$checkout/test/prepare.sh"

built=$checkout/build/prebuilds

# The newest symbol versions that an addon may need. Both are of 2021: glibc 2.34, GCC 11.
newest=(GLIBC_2.34 GLIBCXX_3.4.29 CXXABI_1.3.13)

# Sets $prefix of the tools that build for ARCH $1: empty for this machine's own, otherwise Debian's cross compiler.
choose_tools() {
  prefix=
  [ "$1" = "$(node -p process.arch)" ] || prefix=$(triplet_of "$1")-
}

sources_hash() {
  {
    declare -f build
    (cd -- "$checkout" && find binding.gyp addon -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    cat -- "$checkout"/node_modules/node-{gyp,addon-api}/package.json
    "${prefix}g++" --version
  } | sha256sum | cut -c1-16
}

# Builds in a copy, because node-gyp has only one build folder, and the ordinary addon is in it.
build() {
  local arch=$1 work
  find_node_headers
  mkdir -p -- "$built/$arch"
  work=$(mktemp -d "$built/$arch/build.XXXXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf -- '$work'" EXIT
  cp -R -- "$checkout/binding.gyp" "$checkout/package.json" "$checkout/addon" "$work"
  ln -s -- "$checkout/node_modules" "$work/node_modules"
  (cd -- "$work" && CC=${prefix}gcc CXX=${prefix}g++ GYP_DEFINES=strict=1 JOBS=max \
    node node_modules/node-gyp/bin/node-gyp.js rebuild --arch="$arch" --loglevel=error)
  "${prefix}strip" -o "$built/$arch/virtio_media_bridge.node" "$work/build/Release/virtio_media_bridge.node"
  sources_hash > "$built/$arch/sources"
}

# Fails if the addon $1 needs a newer version of a symbol than `newest`, or one of another kind.
check_versions() {
  local needed version each bound
  needed=$(readelf --version-info --wide "$1" | sed -n '/\.gnu\.version_r/,$p' | grep -oE 'Name: \S+' | cut -d' ' -f2)
  for version in $needed; do
    bound=
    for each in "${newest[@]}"; do
      [ "${version%%_*}" != "${each%%_*}" ] || bound=$each
    done
    [ "$(printf '%s\n' "$version" "$bound" | sort -V | tail -n 1)" = "$bound" ] && continue
    printf '%s needs %s, and docs/installation.md allows %s: build it with an older compiler, or raise the bound there and in %s\n' \
      "$1" "$version" "${bound:-none of that kind}" "${BASH_SOURCE[0]}" >&2
    return 1
  done
}

make_prebuilt() {
  local arch=$1 addon=$built/$1/virtio_media_bridge.node
  choose_tools "$arch"
  if [ ! -e "$addon" ] || [ "$(sources_hash)" != "$(cat -- "$built/$arch/sources" 2> /dev/null)" ]; then
    step "addon for $arch" "$prepare_log" build "$arch"
  fi
  check_versions "$addon"
}

# All or none: src/native.ts would load what a failed run left.
mkdir -p -- "$built"
for arch in x64 arm64; do make_prebuilt "$arch"; done
for arch in x64 arm64; do
  mkdir -p -- "$checkout/prebuilds/linux-$arch"
  cp -- "$built/$arch/virtio_media_bridge.node" "$checkout/prebuilds/linux-$arch"
done
