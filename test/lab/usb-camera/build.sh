#!/usr/bin/env bash
# Prints the path of the USB camera, which is compiled in the lab's root file system when its sources have changed.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../cache.sh"

sources=test/lab/usb-camera
folder=$checkout/build/usb-camera
program=$folder/usb-camera

sources_hash() {
  (cd -- "$checkout" && find "$sources" addon/unique_fd.h -type f -not -name README.md -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
    sha256sum | cut -c1-16
}

# The mount namespace is its own, so that nothing stays mounted however it ends.
compile() {
  # shellcheck disable=SC2016
  unshare --mount -- bash -euc '
    mount --bind "$2" "$1/checkout"
    mount --bind "$3" "$1/mnt"
    mount --bind /dev "$1/dev"
    exec chroot "$1" env -i PATH=/usr/bin:/bin sh -euc "
      cd /checkout/$4
      for unit in *.cc; do echo \$unit; done | xargs -P 2 -I{} g++ -std=c++20 -O2 -Wall -Wextra -I/checkout/addon -c {} -o /mnt/{}.o
      g++ -o /mnt/usb-camera.new /mnt/*.o"
  ' bash "$lab/rootfs" "$checkout" "$folder" "$sources"
  rm -- "$folder"/*.o
}

main() {
  need_root
  hold_lab 1
  mkdir -p -- "$folder"
  exec 8> "$folder/lock"
  flock 8
  local hash
  hash=$(sources_hash)
  if [ ! -e "$program" ] || [ "$(cat -- "$folder/hash" 2> /dev/null)" != "$hash" ]; then
    compile >&2
    mv -- "$program.new" "$program"
    echo "$hash" > "$folder/hash"
  fi
  echo "$program"
}

main "$@"
