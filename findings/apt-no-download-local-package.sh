#!/usr/bin/env bash
# `apt-get install --no-download /path/to/file.deb`: "E: Internal Error, Pathname to install is not absolute 'file.deb'", although the path was absolute
# and nothing has to be downloaded. Packages that come before it in the same run are unpacked by then, and stay half installed. Without the option the
# same command works, and downloads nothing either: so to show that an installation needs no network, download first (--download-only), and
# then run it in an empty network namespace.
#
# Versions: apt 3.0.4 (Debian 13). Wants root, mmdebstrap and Debian's archive.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo 'this wants root' >&2; exit 2; }
command -v mmdebstrap > /dev/null || { echo 'this wants mmdebstrap' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf --one-file-system -- "$folder"' EXIT
chmod 755 "$folder"
apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' > "$folder/apt.conf" || true
mmdebstrap --quiet --mode=root --variant=apt --aptopt="$folder/apt.conf" trixie "$folder/root" > "$folder/log" 2>&1 ||
  { tail -n 3 "$folder/log" >&2; exit 2; }

mkdir -p "$folder/small/DEBIAN"
printf '%s\n' 'Package: small' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@example.org>' 'Description: an empty package' \
  > "$folder/small/DEBIAN/control"
dpkg-deb --build "$folder/small" "$folder/root/small.deb" > /dev/null

inside() { chroot "$folder/root" env DEBIAN_FRONTEND=noninteractive "$@" 2>&1 || true; }
inside apt-get --version | head -n 1
echo "with --no-download: $(inside apt-get install -qy --no-download /small.deb | grep '^E: Internal' | head -n 1)"
echo "without: $(inside apt-get install -qy /small.deb | grep '^Setting up')"

inside apt-get purge -qy small > /dev/null
inside apt-get install -qy --no-download /small.deb | grep -q 'Pathname to install is not absolute' || exit 1
inside apt-get install -qy /small.deb | grep -q '^Setting up small' || exit 1
