# Sourced after cache.sh by the scripts that build in the lab's root file system.
# shellcheck shell=bash

# Runs a script in the lab's root file system: /checkout is the checkout and /mnt is the folder $1. It has a mount
# namespace of its own, so nothing stays mounted, however it ends.
inside() {
  # shellcheck disable=SC2016
  unshare --mount -- bash -euc '
    mount --bind "$2" "$1/checkout"
    mount --bind "$3" "$1/mnt"
    mount -t proc proc "$1/proc"
    mount --bind /dev "$1/dev"
    exec chroot "$1" env -i PATH=/usr/bin:/bin HOME=/tmp JOBS=max sh -euc "$4"
  ' bash "$lab/rootfs" "$checkout" "$1" "$2"
}
