#!/usr/bin/env bash
# Makes the initrd: busybox, the modules that mount the shares, and guest/initrd as its first process.
# Usage: initrd.sh ROOTFS INIT OUTPUT. Not compressed: unpacking would cost more under emulation than it saves.
set -euo pipefail

root=$1 init=$2 output=$3
version=$(basename -- "$root"/usr/lib/modules/*)
tree=$(mktemp -d)
trap 'rm -rf -- "$tree"' EXIT

mkdir -p "$tree"/{bin,modules,proc,dev,lower,upper,root}
install -m 755 "$init" "$tree/init"
install -m 755 "$root/usr/bin/busybox" "$tree/bin/busybox"

# modules/order: file names in the order in which insmod can take them
for module in virtio_pci 9pnet_virtio 9p overlay; do
  chroot "$root" modprobe --set-version "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  name=$(basename -- "$file" .xz)
  case $file in
    *.xz) xz -dc < "$root$file" > "$tree/modules/$name" ;;
    *) cp -- "$root$file" "$tree/modules/$name" ;;
  esac
  echo "$name" >> "$tree/modules/order"
done

(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | "$root/usr/bin/busybox" cpio -o -H newc) > "$output" 2> /dev/null
