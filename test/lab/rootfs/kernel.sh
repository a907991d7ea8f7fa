#!/usr/bin/env bash
# mmdebstrap's customize hook: the kernel itself, and the drivers that Debian does not build: codecs and v4l2loopback.
# $1 is the root file system; mmdebstrap has /proc and /dev mounted in it, which the kernel's objtool wants. $2: "full", or "demo": the kernel only.
set -euo pipefail

root=$1 wanted=$2
version=$(basename -- "$root"/usr/lib/modules/*)
work=$root/tmp/kernel
source=$root/../linux-source.deb # kept beside it, for the kernel as a program

# linux-image would pull an initramfs tool; linux-binary holds the same image and pulls nothing. The host's apt
# downloads with the new root's configuration, so that an https archive needs no certificates inside.
download() {
  mkdir -p "$work"
  (cd "$work" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root download "$@")
}

source_package() {
  chroot "$root" apt-cache depends linux-source | awk '/Depends:/ { print $2; exit }'
}

unpack_drivers() {
  local media='*/drivers/media'
  mv -- "$work"/linux-source-*.deb "$source"
  dpkg-deb --fsys-tarfile "$source" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
    tar -x -C "$work" --strip-components=1 --wildcards "$media/v4l2-core/v4l2-mem2mem.c" \
      "$media/test-drivers/vim2m.c" "$media/test-drivers/vicodec/*" "$media/test-drivers/visl/*"
  mkdir -p "$work/include/trace" "$work/drivers/media/out"
  mv "$work"/drivers/media/v4l2-core/v4l2-mem2mem.c "$work"/drivers/media/test-drivers/vi* "$work/drivers/media/out"
}

# Debian's v4l2loopback is older than this kernel: open files moved (Linux 6.18), and from_timer has another name (6.16).
unpack_loopback() {
  local out=$work/drivers/media/out
  dpkg-deb -x "$work"/v4l2loopback-dkms_*.deb "$work/loopback"
  cp "$work"/loopback/usr/src/v4l2loopback-*/v4l2loopback*.[ch] "$out"
  sed -i -e 's/v4l2_fh_\(add\|del\)(&opener->fh)/v4l2_fh_\1(\&opener->fh, file)/' \
    -e '/define fh_to_opener/s/(ptr), struct/file_to_v4l2_fh(file), struct/' "$out/v4l2loopback.c"
  mkdir -p "$root/usr/src/v4l2loopback" # for the kernel as a program
  cp "$out"/v4l2loopback*.[ch] "$root/usr/src/v4l2loopback"
}

# visl's trace headers name themselves relative to include/trace of a whole kernel tree: that empty folder and a
# link at the drivers' usual place stand in for it.
build_drivers() {
  local out=$work/drivers/media/out
  rmdir "$work/drivers/media/test-drivers" && ln -s out "$work/drivers/media/test-drivers"
  echo 'obj-m += v4l2-mem2mem.o vim2m.o vicodec/ visl/ v4l2loopback.o' > "$out/Kbuild"
  chroot "$root" make -s -j"$(nproc)" -C "/lib/modules/$version/build" M=/tmp/kernel/drivers/media/out \
    CONFIG_VIDEO_VICODEC=m CONFIG_VIDEO_VISL=m KCFLAGS="-I/tmp/kernel/include/trace -Dfrom_timer=timer_container_of" modules
  mkdir -p "$root/usr/lib/modules/$version/updates"
  find "$out" -name '*.ko' -exec install -m 644 -t "$root/usr/lib/modules/$version/updates" {} +
  chroot "$root" depmod "$version"
}

download "linux-binary-$version"
dpkg-deb -x "$work"/linux-binary-*.deb "$root"
if [ "$wanted" = full ]; then
  download "$(source_package)" v4l2loopback-dkms
  unpack_drivers
  unpack_loopback
  build_drivers
else
  chroot "$root" depmod "$version"
fi
rm -rf "$work"
