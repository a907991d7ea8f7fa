#!/usr/bin/env bash
# A boolean option of yargs that is given a value with "=": every value but "true" is false, with strict() too, and nothing is said.
# --flag=1, --flag=yes, --flag=on and --flag=True turn the flag off, also one that is on by default or was turned on by an
# earlier --flag. A check() sees the boolean only; what was written is in the words of the command line alone.
#
# Versions: yargs 18.2.0, yargs-parser 22.0.0 (npm); Node 20 or later.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm; do command -v $tool > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true, "overrides": { "yargs-parser": "22.0.0" } }' > package.json
npm install --loglevel=error --no-fund --no-audit yargs@18.2.0 > /dev/null
for package in yargs yargs-parser; do
  echo "$package $(node -p "require('./node_modules/$package/package.json').version")"
done
echo "node $(node --version)"

cat > look.mjs << 'END'
import yargs from 'yargs';
const look = async (...words) => {
  const parser = yargs().strict().option('safe', { type: 'boolean', default: true }).exitProcess(false);
  const { safe } = await parser.fail((message) => { throw new Error(message); }).parseAsync(words);
  console.log(`${words.join(' ')}: ${safe}`);
};
for (const value of ['true', 'True', '1', 'yes', 'on', '']) await look(`--safe=${value}`);
await look('--safe', '--safe=1');
END
node look.mjs | tee seen

cat > described << 'END'
--safe=true: true
--safe=True: false
--safe=1: false
--safe=yes: false
--safe=on: false
--safe=: false
--safe --safe=1: false
END
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
