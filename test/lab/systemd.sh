#!/usr/bin/env bash
# Makes the lab's machine with systemd as its first process (run.sh --systemd), once for each lab, and prints its folder: the lab's root file
# system with systemd, udev and AppArmor beside it. Of /usr it takes links to the lab's files.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/cache.sh"
. "$lab_scripts/archive.sh"

packages=(systemd systemd-sysv udev dbus apparmor)

# dpkg puts new files in the place of old ones, so the lab's own stay as they are. Logs and lists, which it writes to, are copied.
make_rootfs() {
  local building=$1 root=$1/rootfs name
  mkdir -p -- "$root"
  for name in "$lab"/rootfs/*; do
    case ${name##*/} in
      usr) cp -al -- "$name" "$root" ;;
      *) cp -a -- "$name" "$root" ;;
    esac
  done
  archive_access > "$root/etc/apt/apt.conf.d/97access"
  cp -- "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
  cp -- /etc/hosts "$root/etc/hosts"
  mount --bind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive sh -euc \
    "apt-get update -q; apt-get install -qy --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io ${packages[*]}; apt-get clean"
  umount "$root/proc" "$root/dev"
  # What no test needs, and emulation takes long for.
  chroot "$root" systemctl mask --quiet systemd-hwdb-update.service systemd-timesyncd.service systemd-random-seed.service getty@.service \
    serial-getty@.service systemd-networkd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer
  ln -s "$lab/vmlinuz" "$lab/initrd" "$building"
}

# `bare` at its front: build.sh removes old folders that are called so.
machine=$lab_dir/bare-systemd-${lab##*-}-$( { declare -f make_rootfs; echo "${packages[*]}"; } | sha256sum | cut -c1-8)

case ${1:-} in
  '')
    need_root
    hold_lab 1
    exec 8> "$lab_dir/systemd.lock"
    flock 8
    if [ ! -d "$machine" ]; then
      rm -rf --one-file-system -- "$machine.building"
      unshare --mount -- "${BASH_SOURCE[0]}" make "$machine.building" > "$lab_dir/systemd.log" 2>&1 ||
        die "the machine could not be made: $(tail -n 1 "$lab_dir/systemd.log")"
      mv --no-target-directory -- "$machine.building" "$machine"
    fi
    touch -- "$machine"
    echo "$machine"
    ;;
  make) make_rootfs "$2" ;;
  *) die 'it takes no arguments' ;;
esac
