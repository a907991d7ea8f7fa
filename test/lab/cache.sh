# Where the lab is kept and what decides its name; sourced by the other scripts of this folder.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are for the scripts that source this file

lab_scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(cd -- "$lab_scripts/../.." && pwd -P)
lab_dir=${VMB_LAB_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/virtio-media-bridge/lab}
newest=$lab_dir/newest # a link to the lab that was built last

# A lab is a folder with rootfs/, vmlinuz and initrd. It gets its name when it is complete, and never changes
# afterwards. The name is a hash of everything that decides its contents, so different checkouts have labs of their own,
# and no build waits for a running machine.
inputs=$(cd -- "$lab_scripts" && sha256sum build.sh rootfs/* guest/initrd | sha256sum | cut -c1-16)
lab=$lab_dir/lab-$inputs
demo_lab=$lab_dir/demo-$inputs # smaller, for the demo: it boots and has vivid and node

# The kernel that runs as a program (README.md).
um=$lab_dir/um-$(cd -- "$lab_scripts/um" && sha256sum build.sh config | sha256sum | cut -c1-16)

die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit "${2:-1}"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "the lab is made and run as root: use sudo -E $0"
}

# Sets $lab to an existing lab and locks it until this process and its children end, because build.sh removes labs that
# are not in use. $1: exit status if there is no lab. VMB_LAB=demo: the smaller lab is enough.
hold_lab() {
  if [ ! -d "$lab" ] && [ "${VMB_LAB:-}" = demo ]; then lab=$demo_lab; fi
  if [ ! -d "$lab" ] && [ -d "$newest" ]; then
    echo "${0##*/}: using a lab that other scripts than these made: test/lab/build.sh makes the right one" >&2
    lab=$(readlink -f -- "$newest")
  fi
  [ -d "$lab" ] || die "there is no lab in $lab_dir: run test/lab/build.sh" "$1"
  exec 7< "$lab"
  flock --shared 7
  [ -d "$lab" ] || die 'a build has just replaced the lab: try again' "$1"
  touch -- "$lab"
}
