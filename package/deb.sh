#!/usr/bin/env bash
# Makes the Debian package: `npm run package:deb [-- --arch amd64|arm64] [-- --packed FOLDER] [-- --output FOLDER]`. It needs root and Debian's
# archive, because debhelper runs in a root file system of its own (test/package/root.sh): so the package is the same wherever it is made.
#   --arch     of the package; absent: this machine's
#   --packed   an unpacked npm package to make it of; absent: `npm pack` makes one
#   --output   where the package goes; absent: the current folder
# VMB_DEB_VERSION: another version than that of package.json. DEBFULLNAME, DEBEMAIL: another maintainer (dch(1)).
set -euo pipefail
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$checkout/test/steps.sh"

roots=$checkout/test/package/root.sh
arch=$(dpkg --print-architecture) packed='' output=$PWD
while [ $# -gt 0 ]; do
  case $1 in
    --arch | --packed | --output) declare "${1#--}=${2:?$1 needs a value}"; shift 2 ;;
    *) echo "usage: deb.sh [--arch amd64|arm64] [--packed FOLDER] [--output FOLDER]" >&2; exit 64 ;;
  esac
done
case $arch in
  amd64) cpu=x64 ;;
  arm64) cpu=arm64 ;;
  *) echo "deb.sh: the addon is prebuilt for amd64 and arm64, not for $arch" >&2; exit 64 ;;
esac

mkdir -p -- "$checkout/build" "$output"
work=$(mktemp -d "$checkout/build/deb.XXXXXXXX")
trap 'rm -rf -- "$work"' EXIT
chmod 755 "$work"
log=$checkout/build/deb.log
: > "$log"
umask 022

source=$work/source
tree=$source/tree
lib=$tree/usr/lib/virtio-media-bridge

# Seconds since 1970 of the newest commit, or what the environment says (reproducible-builds.org).
epoch() {
  echo "${SOURCE_DATE_EPOCH:-$(git -C "$checkout" log -1 --format=%ct 2> /dev/null || stat -c %Y -- "$checkout/CHANGELOG.md")}"
}

pack() {
  npm --prefix "$checkout" pack "$checkout" --pack-destination "$work" --loglevel=error
  tar -xzf "$work"/*.tgz -C "$work"
}

# The versions of package-lock.json, for the package's machine. The headers of Node-API are for builds from source.
install_modules() {
  mkdir "$work/modules"
  cp -- "$checkout"/{package.json,package-lock.json,.npmrc} "$work/modules"
  (cd -- "$work/modules" && npm ci --omit=dev --ignore-scripts --os=linux --cpu="$cpu" --libc=glibc --prefer-offline --loglevel=error)
  rm -rf -- "$work"/modules/node_modules/{.bin,.package-lock.json,node-addon-api}
}

program() { (cd -- "$packed" && SOURCE_DATE_EPOCH=$(epoch) node dist/bin/cli.js "$@"); }

put() { install -D -m "${3:-644}" -- "$1" "$2"; }

make_tree() {
  local units=$tree/usr/lib/systemd/system unit
  mkdir -p -- "$lib/dist" "$lib/prebuilds"
  cp -R -- "$packed/package.json" "$packed/udev" "$lib"
  cp -R -- "$packed/dist/bin" "$lib/dist"
  rm -- "$lib/dist/bin/LICENSES.txt"
  cp -R -- "$packed/prebuilds/linux-$cpu" "$lib/prebuilds"
  cp -R -- "$work/modules/node_modules" "$lib"
  find "$lib" -type f -exec chmod 644 {} +
  chmod 755 "$lib/dist/bin/cli.js"
  for unit in "$packed"/udev/*@.*; do put "$unit" "$units/${unit##*/}"; done
  put "$files/group.conf" "$units/virtio-media-bridge@.socket.d/10-group.conf"
  put "$files/default.env" "$tree/etc/virtio-media-bridge/default.env"
  put "$files/apparmor" "$tree/etc/apparmor.d/virtio-media-bridge"
  put "$files/50-virtio-media-bridge.json" "$tree/usr/share/virtio-media-bridge/vhost-user/50-virtio-media-bridge.json"
}

make_texts() {
  local page completions=$tree/usr/share
  mkdir -p -- "$source/man" "$completions"/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
  for page in $(program manual); do program manual "$page" > "$source/man/$page.1"; done
  program completion bash > "$completions/bash-completion/completions/virtio-media-bridge"
  program completion zsh > "$completions/zsh/vendor-completions/_virtio-media-bridge"
  program completion fish > "$completions/fish/vendor_completions.d/virtio-media-bridge.fish"
}

make_source() {
  local maintainer version
  version=${VMB_DEB_VERSION:-$(node -p 'require(process.argv[1]).version' "$checkout/package.json")}
  maintainer="${DEBFULLNAME:-virtio-media-bridge developers} <${DEBEMAIL:-developers@virtio-media-bridge.invalid}>"
  cp -R -- "$checkout/package/debian" "$source"
  sed -i "s/@MAINTAINER@/$maintainer/" "$source/debian/control"
  printf 'virtio-media-bridge (%s) unstable; urgency=medium\n\n  * What is new: CHANGELOG.md.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(date -R -u -d "@$(epoch)")" > "$source/debian/changelog"
  cp -- "$packed/udev/70-virtio-media-bridge.rules" "$source/debian/virtio-media-bridge.udev"
  cp -R -- "$packed"/{README.md,CHANGELOG.md,docs,udev} "$source"
  cp -- "$packed/dist/bin/LICENSES.txt" "$source"
}

build() {
  "$roots" run tools "$work" "cd /mnt/source && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch=$arch"
}

files=$checkout/package/files
if [ -z "$packed" ]; then
  step 'npm pack' "$log" pack
  packed=$work/package
fi
step 'node_modules' "$log" install_modules
mkdir "$source"
step 'files' "$log" make_tree
step 'man pages, completions' "$log" make_texts
step 'debian/' "$log" make_source
step 'tools' "$log" "$roots" build tools
step 'debhelper' "$log" build
mv -- "$work"/*.deb "$output"
find "$output" -maxdepth 1 -name "virtio-media-bridge_*_$arch.deb" -newer "$source/debian/changelog" -print
