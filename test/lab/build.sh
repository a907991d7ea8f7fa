#!/usr/bin/env bash
# Builds the lab into the cache folder, once; see README.md. --demo: a smaller one that boots, with vivid and node, and no more.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/cache.sh"
. "$lab_scripts/../steps.sh"
. "$lab_scripts/archive.sh"

wanted=full
building=$lab_dir/building
log=$lab_dir/build.log

make_rootfs() {
  local address packages
  address=$(archive)
  packages=$(paste -sd, "$lab_scripts/rootfs/packages.demo")
  [ "$wanted" = demo ] || packages+=,$(paste -sd, "$lab_scripts/rootfs/packages")
  archive_access > "$building/apt.conf"
  printf 'deb %s %s main\n' "$address" trixie "$address" trixie-backports > "$building/sources.list"
  cp -- "$lab_scripts/rootfs/preferences" "$lab_scripts/rootfs/kernel.sh" "$building"
  mmdebstrap --mode=root --variant=apt --keyring="$keyring" --include="$packages" \
    --aptopt="$building/apt.conf" --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --setup-hook="mkdir -p \"\$1/etc/apt/preferences.d\" && cp '$building/preferences' \"\$1/etc/apt/preferences.d/lab\"" \
    --customize-hook="'$building/kernel.sh' \"\$1\" $wanted" \
    trixie "$building/rootfs" "$building/sources.list"
  mkdir -p "$building/rootfs/checkout"
}

make_boot_files() {
  cp -- "$building"/rootfs/usr/lib/modules/*/vmlinuz "$building/vmlinuz"
  "$lab_scripts/rootfs/initrd.sh" "$building/rootfs" "$lab_scripts/guest/initrd" "$building/initrd"
}

# Removes what an interrupted build left, and labs that no machine uses or has used for a day.
# --one-file-system: mounts that were left behind are not followed.
remove_old() {
  local old
  rm -rf --one-file-system -- "$building"
  for old in "$lab_dir"/{lab,demo,bare}-*; do
    [ -d "$old" ] && [ -n "$(find "$old" -maxdepth 0 -mtime +0)" ] || continue
    flock --exclusive --nonblock "$old" rm -rf --one-file-system -- "$old" || true
  done
}

publish() {
  sync --file-system "$building"
  mv --no-target-directory -- "$building" "$lab"
  [ "$wanted" = demo ] || ln -s --force --no-dereference -- "${lab##*/}" "$newest"
}

parse() {
  case "$*" in
    '') ;;
    --demo)
      wanted=demo
      [ -d "$lab" ] || lab=$demo_lab # the whole one serves as well
      ;;
    *) die 'usage: build.sh [--demo]' ;;
  esac
}

main() {
  parse "$@"
  if [ -d "$lab" ]; then
    echo "lab is up to date: $lab"
    return
  fi
  need_root
  mkdir -p -- "$lab_dir"
  exec 8> "$lab_dir/build.lock"
  flock --nonblock 8 || step 'lab: built by another' "$log" flock 8
  [ ! -d "$lab" ] || return 0
  : > "$log"
  step 'lab: room' "$log" remove_old
  mkdir -- "$building"
  step 'lab: tools' "$log" install_host_packages
  step 'lab: root file system' "$log" make_rootfs
  step 'lab: boot files' "$log" make_boot_files
  step 'lab: writing' "$log" publish
  echo "lab is ready: $lab ($(du -sh -- "$lab" | cut -f1))"
}

main "$@"
