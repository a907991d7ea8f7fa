#!/usr/bin/env bash
# npm runs this before it packs or publishes. Makes what the package has and the repository has not: the compiled TypeScript
# and the prebuilt addons. Everything goes to stderr, because `npm pack` prints the tarball's name on stdout.
set -euo pipefail
exec >&2
. "$(dirname -- "${BASH_SOURCE[0]}")/../test/prepare.sh"

cd -- "$checkout"
mkdir -p build
: > "$prepare_log"
install_missing "${build_tools[@]}" "${cross_tools[@]}"
install_node_modules
rm -rf dist # files that were compiled from sources that are gone
step 'TypeScript' "$prepare_log" npm run --silent build:ts
package/prebuilds.sh
