#!/usr/bin/env bash
# `npm run test:quick`, `npm test`, `npm run test:full`: circles/ on a fresh machine. Usage: circle.sh quick|real|full
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/prepare.sh"

prepare "$1"
exec node dist/test/circles/main.js "$1"
