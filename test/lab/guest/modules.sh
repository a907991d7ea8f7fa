#!/bin/sh
# Runs inside the machine: loads a module and prints the video nodes that it has created, one a line, in order.
# Usage: node=$(test/lab/guest/modules.sh vivid n_devs=1 node_types=0x1)
set -eu

nodes() {
  find /dev -maxdepth 1 -name 'video*' | sort -V
}

before=$(nodes)
modprobe "$@"
nodes | while read -r node; do
  case "
$before
" in
    *"
$node
"*) ;;
    *) echo "$node" ;;
  esac
done
