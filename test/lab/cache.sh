# Where the lab is kept and what it is made from; sourced by build.sh, run.sh and addon.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are for the scripts that source this file

lab_scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(cd -- "$lab_scripts/../.." && pwd -P)
lab_dir=${VMB_LAB_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/virtio-media-bridge/lab}
lab=$lab_dir/current # rootfs/ vmlinuz initrd stamp; only a complete lab is ever renamed to this name

die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit "${2:-1}"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "the lab is made and run as root: use sudo -E $0"
}

# The hash of everything that decides what a built lab contains.
inputs_hash() {
  (cd -- "$lab_scripts" && sha256sum build.sh rootfs/* guest/initrd) | sha256sum | cut -d' ' -f1
}

lab_is_complete() {
  [ -e "$lab/stamp" ]
}

lab_is_current() {
  lab_is_complete && [ "$(cat -- "$lab/stamp")" = "$(inputs_hash)" ]
}
