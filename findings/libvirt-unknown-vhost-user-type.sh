#!/usr/bin/env bash
# One file in /usr/share/qemu/vhost-user whose `type` libvirt does not know, and no domain starts any more that leaves the choice of a vhost-user
# back-end to libvirt: a virtiofs filesystem, a vhost-user-gpu. libvirt reads every file of the folder before it looks for the type that it wants,
# and gives up at the first unknown one. So a package for a new kind of device (media, for example) must not put its description there before libvirt
# knows the kind, although docs/interop/vhost-user.json of QEMU names the folder as the place for it.
#
# Versions: libvirt 11.3.0-3+deb13u3, QEMU 10.0.13 (Debian 13). Wants root, mmdebstrap, Debian's archive and a gigabyte of disk.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo 'this wants root' >&2; exit 2; }
command -v mmdebstrap > /dev/null || { echo 'this wants mmdebstrap' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf --one-file-system -- "$folder"' EXIT
chmod 755 "$folder"
apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' > "$folder/apt.conf" || true
mmdebstrap --quiet --mode=root --variant=apt --aptopt="$folder/apt.conf" --aptopt='APT::Install-Recommends "false"' \
  --include=libvirt-daemon-system,libvirt-daemon-driver-qemu,libvirt-clients,qemu-system-x86 trixie "$folder/root" > "$folder/log" 2>&1 ||
  { tail -n 3 "$folder/log" >&2; exit 2; }

cat > "$folder/root/domain.xml" <<'X'
<domain type='qemu'>
  <name>d</name><memory unit='MiB'>64</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><filesystem type='mount'><driver type='virtiofs'/><source dir='/srv'/><target dir='t'/></filesystem></devices>
</domain>
X

# The back-end of the first file is not there, so the domain never starts; what matters is how far libvirt comes.
cat > "$folder/root/look.sh" <<'X'
mount -t proc proc /proc
mount -t sysfs sysfs /sys
descriptions=/usr/share/qemu/vhost-user
mkdir -p "$descriptions" /run/dbus
echo '{ "description": "d", "type": "fs", "binary": "/nonexistent/virtiofsd" }' > "$descriptions/50-fs.json"
virtlogd -d
libvirtd -d
for try in 1 2 3 4 5 6 7 8 9; do virsh -c qemu:///system define /domain.xml > /dev/null 2>&1 && break; sleep 1; done
echo "alone: $(virsh -c qemu:///system start d 2>&1 | grep -v 'Failed to start' | tr -d '\n')"
echo '{ "description": "d", "type": "media", "binary": "/nonexistent/media" }' > "$descriptions/60-media.json"
echo "beside a file of another type: $(virsh -c qemu:///system start d 2>&1 | grep -v 'Failed to start' | tr -d '\n')"
X
chroot "$folder/root" dpkg-query --show libvirt-daemon qemu-system-x86
unshare --mount --pid --fork --kill-child chroot "$folder/root" sh /look.sh 2> /dev/null | tee "$folder/seen"

grep -q '^alone: .*/nonexistent/virtiofsd' "$folder/seen" || exit 1
grep -q "^beside a file of another type: .*unknown vhost-user type: 'media'" "$folder/seen" || exit 1
