#!/usr/bin/env bash
# bytes.parse() of a size whose unit it does not know: the unit is dropped in silence and the digits are taken for bytes. "256M" is 256,
# where "256MB" is 268,435,456; "1GiB" is 1; "64K" is 64; "1.5G" is 1. So are sizes that are none: "12abc" is 12, "0x10" is 0 and
# "1,000" is 1. Only a text that begins with no number is null. K, M, G and KiB, MiB, GiB are how QEMU, dd and systemd write sizes.
# Who reads what a person writes with it should check the text with a pattern of its own before.
#
# Versions: bytes 3.1.2 (npm); Node 20 or later.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm; do command -v $tool > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit bytes@3.1.2 > /dev/null
echo "bytes $(node -p "require('bytes/package.json').version"), node $(node --version)"

cat > look.cjs << 'END'
const bytes = require('bytes');
for (const text of ['256MB', '256M', '64K', '1GB', '1GiB', '1.5G', '12abc', '0x10', '1,000', 'M'])
  console.log(`${text}: ${bytes.parse(text)}`);
END
node look.cjs | tee seen

cat > described << 'END'
256MB: 268435456
256M: 256
64K: 64
1GB: 1073741824
1GiB: 1
1.5G: 1
12abc: 12
0x10: 0
1,000: 1
M: null
END
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
