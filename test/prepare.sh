# Brings a fresh Debian machine with Node to a built checkout; sourced by test/all.sh and demo/run.sh.
# shellcheck shell=bash

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

heading() {
  printf '\n== %s\n' "$1"
}

# Node's addons are built with python3, make and a C++ compiler.
install_build_tools() {
  local missing=()
  command -v python3 > /dev/null || missing+=(python3)
  command -v make > /dev/null || missing+=(make)
  command -v g++ > /dev/null || missing+=(g++)
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    printf 'The addon is built with %s: install them, or run this as root on Debian.\n' "${missing[*]}" >&2
    return 1
  fi
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
}

# Headers that came with node: node-gyp would fetch them otherwise.
find_node_headers() {
  local prefix
  prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
  if [ -e "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$prefix; fi
}

prepare() {
  cd -- "$checkout"
  heading 'build'
  install_build_tools
  find_node_headers
  export JOBS=max MAKEFLAGS=--silent
  if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --loglevel=error
  fi
  npm run --silent build
}
