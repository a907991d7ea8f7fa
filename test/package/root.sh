#!/usr/bin/env bash
# A root file system for tests of the npm package: Debian with node, and neither npm nor a compiler. It is made once, into the lab's cache folder.
#   root.sh build                        makes it
#   root.sh run bare|lab FOLDER SCRIPT   runs a shell script as root in a throw-away copy. `lab`: that of the lab, which has a compiler.
# /mnt is FOLDER. The network and npm's configuration are this machine's.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../lab/cache.sh"
. "$lab_scripts/archive.sh"

make_root() {
  local building=$bare.building address
  address=$(archive)
  install_host_packages
  rm -rf --one-file-system -- "$building"
  mkdir -- "$building"
  archive_access > "$building/apt.conf"
  mmdebstrap --mode=root --variant=essential --keyring="$keyring" --include=nodejs \
    --aptopt="$building/apt.conf" --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$building/rootfs" "deb $address trixie main"
  mv --no-target-directory -- "$building" "$bare"
}

bare=$lab_dir/bare-$(declare -f make_root | sha256sum | cut -c1-16)

build() {
  need_root
  mkdir -p -- "$lab_dir"
  exec 8> "$lab_dir/bare.lock"
  flock 8
  [ -d "$bare" ] || make_root >&2
}

# Copies a file to the same path below $1, if it exists.
bring() {
  [ -f "$2" ] && install -D -m 644 -- "$2" "$1$2" || true
}

# What a program needs to reach the same package registry as this machine.
bring_network() {
  local file
  for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt "${NODE_EXTRA_CA_CERTS:-}" "$(npm config get cafile)"; do
    bring "$1" "$(readlink -f -- "$file" || true)"
    [ ! -L "$file" ] || bring "$1" "$file"
  done
  file=$(npm config get userconfig)
  [ ! -f "$file" ] || install -D -m 600 -- "$file" "$1/root/.npmrc"
}

environment() {
  env | grep -E '^((https?|no)_proxy|(HTTPS?|NO)_PROXY|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR))=' || true
}

# In a mount namespace of its own: nothing stays mounted, however it ends.
in_copy() {
  local lower=$1 given=$2 script=$3 copy=$lab_dir/mount
  mount -t tmpfs tmpfs "$copy"
  mkdir "$copy"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
  bring_network "$copy/root"
  mkdir -p "$copy/root/mnt"
  mount --bind "$given" "$copy/root/mnt"
  mount -t proc proc "$copy/root/proc"
  mount --bind /dev "$copy/root/dev"
  local variables
  mapfile -t variables < <(environment)
  exec chroot "$copy/root" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root "${variables[@]}" sh -euc "$script"
}

hold() {
  case $1 in
    bare) held=$bare ;;
    lab) hold_lab 1; held=$lab; return ;;
    *) die "no root file system called $1" ;;
  esac
  [ -d "$held" ] || die "there is no root file system in $held: run test/package/root.sh build"
  exec 7< "$held"
  flock --shared 7
  touch -- "$held"
}

case ${1:-} in
  build) build ;;
  run)
    need_root
    hold "$2"
    mkdir -p -- "$lab_dir/mount"
    exec unshare --mount -- "${BASH_SOURCE[0]}" in-copy "$held/rootfs" "$3" "$4"
    ;;
  in-copy) in_copy "$2" "$3" "$4" ;;
  *) die 'usage: root.sh build | root.sh run bare|lab FOLDER SCRIPT' ;;
esac
