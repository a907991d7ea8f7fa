#!/usr/bin/env bash
# Root file systems of Debian for the packages, and for their tests. Each is made once, into the lab's cache folder.
#   root.sh build [ROOT]           makes it (bare if none is named)
#   root.sh run ROOT FOLDER SCRIPT runs a shell script as root in a throw-away copy
# ROOT is one of
#   bare    Debian with node, and neither npm nor a compiler
#   debian  Debian with apt and nothing else
#   tools   what makes and judges a Debian package, its man pages, completions and units
#   lab     that of the lab, which has a compiler; test/lab/build.sh makes it
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

packaging_tools=(apparmor bash-completion debhelper dh-apparmor fish lintian mandoc nodejs systemd udev zsh)

# Makes the root file system $1 of Debian with apt and the packages $2.
make_apt_root() {
  local building=$1.building packages=$2 address
  address=$(archive)
  install_host_packages
  rm -rf --one-file-system -- "$building"
  mkdir -- "$building"
  archive_access > "$building/apt.conf"
  mmdebstrap --mode=root --variant=apt --keyring="$keyring" ${packages:+"--include=$packages"} --aptopt="$building/apt.conf" --dpkgopt=force-unsafe-io \
    --aptopt='APT::Install-Recommends "false"' trixie "$building/rootfs" "deb $address trixie main"
  rm -f -- "$building"/rootfs/etc/dpkg/dpkg.cfg.d/99mmdebstrap
  mv --no-target-directory -- "$building" "$1"
}

apt_hash() { { declare -f make_apt_root; echo "$*"; } | sha256sum | cut -c1-16; }
# `bare` at the front of the names: the lab's build removes old folders that are called so.
debian=$lab_dir/bare-debian-$(apt_hash)
tools=$lab_dir/bare-tools-$(apt_hash "${packaging_tools[@]}")

build() {
  need_root
  mkdir -p -- "$lab_dir"
  exec 8> "$lab_dir/bare.lock"
  flock 8
  case $1 in
    bare) [ -d "$bare" ] || make_root >&2 ;;
    debian) [ -d "$debian" ] || make_apt_root "$debian" '' >&2 ;;
    tools) [ -d "$tools" ] || make_apt_root "$tools" "$(IFS=,; echo "${packaging_tools[*]}")" >&2 ;;
    *) die "no root file system called $1" ;;
  esac
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
  mount -t devpts -o ptmxmode=666 devpts "$copy/root/dev/pts"
  local variables
  mapfile -t variables < <(environment)
  exec chroot "$copy/root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${variables[@]}" sh -euc "$script"
}

hold() {
  case $1 in
    bare) held=$bare ;;
    debian) held=$debian ;;
    tools) held=$tools ;;
    lab) hold_lab 1; held=$lab; return ;;
    *) die "no root file system called $1" ;;
  esac
  [ -d "$held" ] || die "there is no root file system in $held: run test/package/root.sh build $1"
  exec 7< "$held"
  flock --shared 7
  touch -- "$held"
}

case ${1:-} in
  build) build "${2:-bare}" ;;
  run)
    need_root
    hold "$2"
    mkdir -p -- "$lab_dir/mount"
    exec unshare --mount -- "${BASH_SOURCE[0]}" in-copy "$held/rootfs" "$3" "$4"
    ;;
  in-copy) in_copy "$2" "$3" "$4" ;;
  *) die 'usage: root.sh build [ROOT] | root.sh run ROOT FOLDER SCRIPT' ;;
esac
