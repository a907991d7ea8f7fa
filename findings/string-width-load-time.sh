#!/usr/bin/env bash
# string-width 7 and 8 take three times as long to load as string-width 4, on Node 20: 31 and 36 ms instead of 11, where Node itself needs 65 to
# start. It is not their code that takes the time, but two lines that run when the module is loaded: `new RegExp('^\p{RGI_Emoji}$', 'v')`, for which
# V8 lists all sequences of emoji (14 ms), and `new Intl.Segmenter()` (9 ms). yargs 18 has string-width 7 through cliui 9, so every program that
# reads its command line with yargs 18 pays for it (73 ms), although only the help text is measured; yargs 17 (31 ms) has string-width 4.
# A program that is started often should load such a module only where it draws a table, or take yargs 17.
#
# Versions: string-width 4.2.3, 7.2.0, 8.3.0, yargs 17.7.3, 18.2.0 (npm); Node 20.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm; do command -v $tool > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit width4@npm:string-width@4.2.3 width7@npm:string-width@7.2.0 width8@npm:string-width@8.3.0 \
  yargs17@npm:yargs@17.7.3 yargs18@npm:yargs@18.2.0 > /dev/null
echo "node $(node --version)"

# The median of eleven processes, in milliseconds, of the time for WHAT.
cat > look.mjs << 'END'
import { spawnSync } from 'node:child_process';

const timed = (work) => `const from = performance.now(); ${work}; console.log(performance.now() - from);`;
const median = (work) => {
  const all = Array.from({ length: 11 }, () =>
    Number(spawnSync(process.execPath, ['--input-type=module', '-e', timed(work)], { encoding: 'utf8' }).stdout));
  return all.sort((a, b) => a - b)[5];
};
const look = (name, work) => {
  const ms = median(work);
  console.log(`${name}: ${ms.toFixed(1)} ms`);
  return ms;
};

const four = look('string-width 4.2.3', "await import('width4')");
const seven = look('string-width 7.2.0', "await import('width7')");
const eight = look('string-width 8.3.0', "await import('width8')");
const emoji = look('the pattern of all emoji', "new RegExp('^\\p{RGI_Emoji}$', 'v')");
const segmenter = look('a segmenter', 'new Intl.Segmenter()');
const older = look('yargs 17.7.3', "await import('yargs17')");
const newer = look('yargs 18.2.0', "await import('yargs18')");

const checks = {
  'string-width 7 takes more than twice as long as 4': seven > 2 * four,
  'string-width 8 takes more than twice as long as 4': eight > 2 * four,
  'the two lines are more than half of version 8': emoji + segmenter > eight / 2,
  'yargs 18 takes more than one and a half times as long as 17': newer > 1.5 * older,
};
for (const [what, holds] of Object.entries(checks)) console.log(`${what}: ${holds ? 'yes' : 'no'}`);
process.exit(Object.values(checks).every(Boolean) ? 0 : 1);
END
node look.mjs || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
