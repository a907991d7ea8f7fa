#!/usr/bin/env bash
# The completion script that yargs prints for bash offers files in the place of an option's choices once "=" is typed. bash makes
# three words of "--mode=fa": "--mode", "=" and "fa", because "=" is in COMP_WORDBREAKS. yargs looks for the option one word before the one
# at the cursor, finds "=" and answers nothing; for "--mode=" alone it answers nothing either, and the script would compare
# the choices with the word "=". COMPREPLY stays empty, and "complete -o default" then offers files. "--mode fa" works.
#
# Versions: yargs 18.2.0 (npm); bash 5.2; Node 20 or later.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm; do command -v $tool > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit yargs@18.2.0 > /dev/null
echo "yargs $(node -p "require('./node_modules/yargs/package.json').version"), bash ${BASH_VERSION}, node $(node --version)"

cat > tool.mjs << 'END'
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
await yargs(hideBin(process.argv)).scriptName('tool').option('mode', { choices: ['fast', 'slow'] }).completion().parseAsync();
END
tool() { SHELL=/bin/bash node tool.mjs "$@"; }
tool completion > completion.sh

# bash itself: the words that it makes of a line, from a terminal that readline has.
cat > split.sh << 'END'
words() { printf '%s\n' "${COMP_WORDS[@]:1}" > words; }
complete -F words tool
END
printf 'tool --mode=fa\t\nexit\n' | TERM=dumb INPUTRC=/dev/null bash --rcfile split.sh -i > /dev/null 2>&1 || true
echo "bash makes of --mode=fa: $(paste -sd ' ' words)" | tee seen

# What the script leaves in COMPREPLY for these words; the last is at the cursor.
source completion.sh
offered() {
  COMP_WORDS=(tool "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _tool_yargs_completions
  echo "$*: ${COMPREPLY[*]:-nothing}"
}
for words in '--mode fa' '--mode = fa' '--mode ='; do offered $words; done | tee -a seen
complete -p tool | grep -o -e '-o default' | tee -a seen

cat > described << 'END'
bash makes of --mode=fa: --mode = fa
--mode fa: fast
--mode = fa: nothing
--mode =: nothing
-o default
END
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
