# Debian's archive, for scripts that make root file systems; they source this file after cache.sh.
# shellcheck shell=bash

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

install_host_packages() {
  local missing=()
  command -v mmdebstrap > /dev/null || missing+=(mmdebstrap)
  command -v xz > /dev/null || missing+=(xz-utils)
  [ -e "$keyring" ] || missing+=(debian-archive-keyring)
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get > /dev/null || die "the lab needs ${missing[*]}: install them, as this machine has no apt-get"
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}"
}

debian_archives() {
  # shellcheck disable=SC2016  # apt's own variable
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2> /dev/null || true
}

# The Debian archive that this machine itself uses; Debian's public one where it uses none.
archive() {
  local addresses
  addresses=$(debian_archives)
  if [ -z "$addresses" ]; then
    apt-get update >&2 || true # apt knows whose archive it is only from the lists
    addresses=$(debian_archives)
  fi
  addresses=${addresses:-http://deb.debian.org/debian}
  echo "${addresses%%$'\n'*}"
}

# How this machine reaches the archive (proxies, certificates, a clock that is off), as lines of an apt.conf.
archive_access() {
  apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' || true
}
