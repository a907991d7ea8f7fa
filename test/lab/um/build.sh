#!/usr/bin/env bash
# Builds the kernel that runs as a program (User-mode Linux) into the cache folder, once; see README.md.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../cache.sh"
. "$lab_scripts/../steps.sh"

um_building=$um.building
um_log=$lab_dir/um.log

install_host_packages() {
  local tool missing=()
  for tool in bc bison flex make gcc; do command -v "$tool" > /dev/null || missing+=("$tool"); done
  [ -e /usr/include/libelf.h ] || missing+=(libelf-dev)
  command -v depmod > /dev/null || missing+=(kmod)
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get > /dev/null || die "the kernel is built with ${missing[*]}: install them, as this machine has no apt-get"
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}"
}

# Of the same Debian package that the lab's codec drivers were built from.
unpack_source() {
  mkdir -p "$um_building/source"
  dpkg-deb --fsys-tarfile "$lab/linux-source.deb" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
    tar -x -C "$um_building/source" --strip-components=1 --exclude '*/drivers/gpu/drm/amd/*.[ch]' --exclude '*/Documentation/*.rst'
}

# HZ: vivid times its frames in ticks, and 8 ms of 120 a second are less than one of the usual 10.
configure() {
  local refused
  cd "$um_building/source"
  sed -i '/^config HZ$/,/default/s/default 100/default 1000/' arch/um/Kconfig
  mend_leaps arch/um/kernel/time.c
  KCONFIG_ALLCONFIG=$lab_scripts/um/config make -s ARCH=um allnoconfig
  refused=$(grep '^CONFIG_' "$lab_scripts/um/config" | grep -vxFf .config || true)
  [ -z "$refused" ] || die "the kernel's configuration has not taken: ${refused//$'\n'/ }"
}

# The clock that leaps ("time-travel"). Time that programs spend working passes by their looks at it: by 20 us each, what that takes
# here in earnest, and not by 256 ns, or who works until a time has come works for ever. And an alarm of the host may come for
# a time that has been reached by such looks: it must not set the clock back.
mend_leaps() {
  sed -i -e 's/time_travel_update_time_rel(TIMER_MULTIPLIER)/time_travel_update_time_rel(20 * NSEC_PER_USEC)/' \
    -e '/^static void time_travel_handle_real_alarm/,/^}/s/time_travel_set_time(time_travel_next_event)/time_travel_set_time(max(time_travel_time, time_travel_next_event))/' "$1"
  [ "$(grep -cE 'rel\(20 \* NSEC|max\(time_travel_time' "$1")" = 2 ] || die "$1 is not as it was: the clock that leaps is not mended"
}

compile() {
  cd "$um_building/source"
  make ARCH=um -j"$(nproc)" linux modules
  make -s ARCH=um INSTALL_MOD_PATH="$um_building/result" modules_install
  cp -- linux "$um_building/result"
}

# As rootfs/kernel.sh does for the lab's own kernel.
compile_loopback() {
  local folder=$um_building/v4l2loopback version
  cp -R -- "$lab/rootfs/usr/src/v4l2loopback" "$folder"
  echo 'obj-m += v4l2loopback.o' > "$folder/Kbuild"
  make -s ARCH=um -C "$um_building/source" M="$folder" KCFLAGS=-Dfrom_timer=timer_container_of modules
  version=$(basename -- "$um_building"/result/lib/modules/*)
  install -D -m 644 -t "$um_building/result/lib/modules/$version/updates" "$folder/v4l2loopback.ko"
  depmod --basedir "$um_building/result" "$version"
}

# Kernels that no machine has used for a day go.
publish() {
  mv --no-target-directory -- "$um_building/result" "$um"
  rm -rf -- "$um_building"
  find "$lab_dir" -maxdepth 1 -name 'um-*' -type d -mtime +0 ! -path "$um" -exec rm -rf -- {} +
}

main() {
  [ $# = 0 ] || die 'it takes no arguments'
  if [ -e "$um/linux" ]; then
    echo "the kernel is up to date: $um"
    return
  fi
  hold_lab 1
  need_root
  exec 8> "$lab_dir/um.lock"
  flock 8
  [ ! -e "$um/linux" ] || return 0
  : > "$um_log"
  rm -rf -- "$lab_dir"/um-*.building
  mkdir -p -- "$um_building/result"
  step 'kernel: tools' "$um_log" install_host_packages
  step 'kernel: unpacking' "$um_log" unpack_source
  step 'kernel: configuration' "$um_log" configure
  step 'kernel: compiling' "$um_log" compile
  step 'kernel: v4l2loopback' "$um_log" compile_loopback
  publish
  echo "the kernel is ready: $um ($SECONDS s)"
}

main "$@"
