#!/usr/bin/env bash
# Builds the kernel that runs as a program (User-mode Linux) into the cache folder, once; see README.md.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../cache.sh"

um_building=$um.building
um_log=$lab_dir/um.log

install_host_packages() {
  local tool missing=()
  for tool in bc bison flex make gcc; do command -v "$tool" > /dev/null || missing+=("$tool"); done
  [ -e /usr/include/libelf.h ] || missing+=(libelf-dev)
  command -v depmod > /dev/null || missing+=(kmod)
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get > /dev/null || die "the kernel is built with ${missing[*]}: install them, as this machine has no apt-get"
  echo "installing ${missing[*]}"
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# From the lab's own archive: the lists and the configuration that its root file system was made with.
download_source() {
  local package
  mkdir -p "$um_building/lists/partial" "$um_building/archives/partial" "$um_building/source"
  sed 's|^deb |deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] |' "$lab/sources.list" > "$um_building/sources.list"
  cat -- "$lab/apt.conf" - > "$um_building/apt.conf" << EOF
Dir::State::lists "$um_building/lists";
Dir::State::status "/dev/null";
Dir::Cache::archives "$um_building/archives";
Dir::Etc::SourceList "$um_building/sources.list";
Dir::Etc::SourceParts "/nonexistent";
Dir::Etc::PreferencesParts "/nonexistent";
APT::Sandbox::User "root";
APT::Default-Release "trixie-backports";
EOF
  export APT_CONFIG=$um_building/apt.conf
  apt-get update
  package=$(apt-cache depends linux-source | awk '/Depends:/ { print $2; exit }')
  (cd "$um_building" && apt-get download "$package")
  dpkg-deb --fsys-tarfile "$um_building"/linux-source-*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
    tar -x -C "$um_building/source" --strip-components=1 --exclude '*/drivers/gpu/drm/amd/*.[ch]' --exclude '*/Documentation/*.rst'
}

# HZ: vivid times its frames in ticks, and 8 ms of 120 a second are less than one of the usual 10.
make_kernel() {
  local refused
  cd "$um_building/source"
  sed -i '/^config HZ$/,/default/s/default 100/default 1000/' arch/um/Kconfig
  KCONFIG_ALLCONFIG=$lab_scripts/um/config make -s ARCH=um allnoconfig
  refused=$(grep '^CONFIG_' "$lab_scripts/um/config" | grep -vxFf .config || true)
  [ -z "$refused" ] || die "the kernel's configuration has not taken: ${refused//$'\n'/ }"
  make -s ARCH=um -j"$(nproc)" linux modules
  make -s ARCH=um INSTALL_MOD_PATH="$um_building/result" modules_install
  cp -- linux "$um_building/result"
}

publish() {
  mv --no-target-directory -- "$um_building/result" "$um"
  rm -rf -- "$um_building"
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
  rm -rf -- "$lab_dir"/um-*.building
  mkdir -p -- "$um_building/result"
  trap 'tail -n 30 -- "$um_log" >&2; echo "build.sh: see the lines above, or all of $um_log" >&2' EXIT
  { install_host_packages; download_source; } > "$um_log" 2>&1
  (make_kernel) >> "$um_log" 2>&1
  publish
  trap - EXIT
  echo "the kernel is ready: $um ($SECONDS s)"
}

main "$@"
