#!/usr/bin/env bash
# Prints the path of the library. It is built in the lab's root file system (with its glibc and <linux/videodev2.h>),
# without emulation, once for each state of the sources. README.md describes the library.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../lab/cache.sh"
. "$lab_scripts/inside.sh"

name=libv4l2-node.so
output=$checkout/build/preload

sources_hash() {
  (cd -- "$here" && cat -- build.sh *.h *.cc) | sha256sum | cut -c1-16
}

build() {
  local folder=$1
  mkdir -p -- "$folder"
  inside "$folder" "
    cd /mnt
    ls /checkout/test/preload/*.cc | xargs -P 2 -I{} sh -c '
      g++ -std=c++20 -O2 -g -fPIC -fvisibility=hidden -U_FORTIFY_SOURCE -Wall -Wextra -Werror -c {} -o \$(basename {} .cc).o'
    test \$(ls /checkout/test/preload/*.cc | wc -l) = \$(ls *.o | wc -l)
    g++ -shared -o $name.new *.o -ldl -lpthread
    rm -- *.o
    mv $name.new $name" >&2
}

# Keeps a few versions, because a machine may be using one.
remove_old() {
  (cd -- "$output" && ls -t | tail -n +4 | xargs -r rm -r --)
}

main() {
  need_root
  hold_lab 1
  local folder
  folder=$output/$(sources_hash)
  [ -e "$folder/$name" ] || { build "$folder"; remove_old; }
  echo "$folder/$name"
}

main "$@"
