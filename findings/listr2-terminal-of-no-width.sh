#!/usr/bin/env bash
# A terminal that has no size (0 rows, 0 columns: what script(1), serial consoles and many a container's pty have until somebody sets
# one) is a terminal to listr2: it draws there, and log-update wraps to a width of 0. Each character gets a line of its own, those
# of the colour's escape sequences too, so that nothing is coloured and every redraw is as long as the text. With a width, all is well.
# Who draws with it should ask for process.stdout.columns > 0 besides isTTY.
#
# Versions: listr2 9.0.5, log-update 6.1.0, wrap-ansi 9.0.2 (npm); Node 20 or later; script(1) of util-linux.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm script stty; do command -v $tool > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true, "overrides": { "log-update": "6.1.0", "wrap-ansi": "9.0.2" } }' > package.json
npm install --loglevel=error --no-fund --no-audit listr2@9.0.5 > /dev/null
for package in listr2 log-update wrap-ansi; do
  echo "$package $(node -p "require('./node_modules/$package/package.json').version")"
done
echo "node $(node --version)"

cat > look.mjs << 'END'
import { Listr } from 'listr2';
console.log(`a terminal: ${process.stdout.isTTY}, columns: ${process.stdout.columns}`);
await new Listr([{ title: 'abcdef', task: () => new Promise((resolve) => setTimeout(resolve, 300)) }]).run();
END

# The last drawing: what follows the last "erase line".
drawn() {
  script -qec "stty rows $1 cols $2; FORCE_COLOR=1 node look.mjs" /dev/null | tr -d '\r' > "$2.txt"
  grep -a 'a terminal' "$2.txt"
  node -e '
    const text = require("fs").readFileSync(process.argv[1], "utf8").split(/\x1b\[[0-9]*[KGA]/).filter((each) => each.includes("f")).at(-1);
    console.log(JSON.stringify(text.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("\x1b[?"))));
  ' "$2.txt"
}
drawn 24 80 | tee wide
drawn 0 0 | tee none

grep -q 'a terminal: true, columns: 80' wide && grep -q 'a terminal: true, columns: 0' none || { echo 'The terminals are not as they were.' >&2; exit 1; }
grep -q 'abcdef' wide || { echo 'With a width the title is not in one line.' >&2; exit 1; }
grep -q '"a","b","c","d","e","f"' none || { echo 'Without a width the title is not a character a line.' >&2; exit 1; }
grep -qF '"\u001b","[","3","2","m"' none || { echo 'Without a width the escape sequence is whole.' >&2; exit 1; }
echo 'As described.'
