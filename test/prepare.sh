# Prepares a fresh Debian machine with Node so that circles/ can run on it. circle.sh and demo/run.sh source this file.
# shellcheck shell=bash

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$checkout/test/steps.sh"
prepare_log=$checkout/build/prepare.log

# Arguments: PROGRAM=PACKAGE or FILE=PACKAGE. Installs all missing packages in one call, because apt runs only once at a
# time.
install_missing() {
  local pair missing=()
  for pair; do
    command -v "${pair%=*}" > /dev/null || [ -e "${pair%=*}" ] || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    printf 'This needs %s: install them, or run it as root on Debian.\n' "${missing[*]}" >&2
    return 1
  fi
  step "apt: ${missing[*]}" "$prepare_log" install "${missing[@]}"
}

install() {
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=600 "$@"
}

# Node's addons are built with python3, make and a C++ compiler. The lab needs what its two build.sh ask for.
build_tools=(python3=python3 make=make g++=g++)
lab_tools=(mmdebstrap=mmdebstrap xz=xz-utils /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring depmod=kmod)
kernel_tools=(bc=bc bison=bison flex=flex gcc=gcc /usr/include/libelf.h=libelf-dev)

# Debian's name of the machine for which ARCH is Node's name.
triplet_of() {
  case $1 in
    x64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
  esac
}

# The package has addons for two kinds of machine: the compiler for the other one than this, and what runs it here.
case $(uname -m) in
  aarch64) cross_tools=(x86_64-linux-gnu-g++=g++-x86-64-linux-gnu) emulation_tools=() ;;
  *) cross_tools=(aarch64-linux-gnu-g++=g++-aarch64-linux-gnu) emulation_tools=(qemu-aarch64-static=qemu-user-static) ;;
esac

# Use the headers that came with node; node-gyp would download them otherwise.
find_node_headers() {
  local prefix
  prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
  if [ -e "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$prefix; fi
}

# npm ci would empty the folder that a link points to.
install_node_modules() {
  if [ -L node_modules ]; then return; fi
  if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    step 'npm ci' "$prepare_log" npm ci --loglevel=error
  fi
}

# Starts while npm runs, because npm leaves the processor and the network mostly idle. Whoever needs the lab later
# checks the exit status.
begin_lab() {
  "$checkout/test/lab/build.sh" "$@" > /dev/null 2>&1 &
}

# Usage: prepare quick|demo|real|full
prepare() {
  local circle=$1
  cd -- "$checkout"
  mkdir -p build
  : > "$prepare_log"
  if [ "$circle" = quick ] || [ "$(id -u)" != 0 ]; then
    install_missing "${build_tools[@]}"
  elif [ "$circle" = demo ]; then
    install_missing "${build_tools[@]}" "${lab_tools[@]}"
    begin_lab --demo
  else
    install_missing "${build_tools[@]}" "${lab_tools[@]}" "${kernel_tools[@]}" "${cross_tools[@]}" "${emulation_tools[@]}"
    begin_lab
  fi
  find_node_headers
  export JOBS=max MAKEFLAGS=--silent
  install_node_modules
  step 'TypeScript' "$prepare_log" npm run --silent build:ts
}
