#!/usr/bin/env bash
# What winston loses of log.info(message, fields), with the formats timestamp() and json():
#  - a field "level" is gone; "message" is glued to the message; "timestamp" stands where the time of the line should be;
#  - an Error in a field is {}: its message and its stack are gone;
#  - if the message contains a token such as %s or %d (a file's or a process's name may), all fields are gone;
#  - C1 controls, bidirectional controls and U+2028 go out as they are: JSON.stringify() escapes C0 only.
# log.log({ ...fields, level, message }), one object, keeps the fields of such a message, if their names are not these three.
#
# Versions: winston 3.19.0, logform 2.7.0 (npm); Node 20 or later.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm perl; do command -v $tool > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

echo '{ "private": true, "overrides": { "logform": "2.7.0" } }' > package.json
npm install --loglevel=error --no-fund --no-audit winston@3.19.0 > /dev/null
for package in winston logform; do
  echo "$package $(node -p "require('./node_modules/$package/package.json').version")"
done
echo "node $(node --version)"

cat > look.cjs << 'END'
const winston = require('winston');
const { combine, json, timestamp } = winston.format;
const log = winston.createLogger({ format: combine(timestamp(), json()), transports: [new winston.transports.Console()] });
log.info('m', { level: 'error', n: 1 });
log.info('m', { message: 'why', n: 1 });
log.info('m', { timestamp: 'then', n: 1 });
log.info('m', { error: new Error('why'), n: 1 });
log.info('a%sb has it', { n: 1 });
log.log({ level: 'info', message: 'a%sb has it', n: 1 });
log.info('\u009b2J\u202e\u2028');
END
# The time of a line is NOW; what is not ASCII is shown by its number.
node look.cjs | sed -E 's/"[0-9T:.-]{23}Z"/"NOW"/' | perl -CS -pe 's/([^\x00-\x7f])/sprintf("<%x>", ord $1)/ge' | tee seen

cat > described << 'END'
{"level":"info","message":"m","n":1,"timestamp":"NOW"}
{"level":"info","message":"m why","n":1,"timestamp":"NOW"}
{"level":"info","message":"m","n":1,"timestamp":"then"}
{"error":{},"level":"info","message":"m","n":1,"timestamp":"NOW"}
{"level":"info","message":"a%sb has it","timestamp":"NOW"}
{"level":"info","message":"a%sb has it","n":1,"timestamp":"NOW"}
{"level":"info","message":"<9b>2J<202e><2028>","timestamp":"NOW"}
END
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
