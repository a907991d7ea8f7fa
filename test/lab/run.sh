#!/usr/bin/env bash
# Boots the lab's machine, runs one command in it and returns the command's exit status; see README.md.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/cache.sh"

timed_out=124 failed=125 reader_gone=141 # the exit statuses that timeout(1), container runners and shells use
usage="usage: test/lab/run.sh [--timeout SECONDS] [--memory MB] [--append KERNELARGS] [--env NAME=VALUE]... [--console FILE] [--leap] [--tell] -- COMMAND [ARGUMENT]..."

boot_limit=180 # seconds; usually 6 are enough
timeout=900 memory=4096 append='' console='' tell='' vm='' terminal_state=''
accel=${VMB_LAB_ACCEL:-tcg}
variables=("TERM=${TERM:-dumb}")
argv=()

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --) shift; argv=("$@"); break ;;
      --tell) tell=1; shift; continue ;;
      --leap) append+=' time-travel'; accel=um; shift; continue ;;
      --help) echo "$usage"; exit ;;
      --timeout | --memory | --append | --env | --console) [ $# -gt 1 ] || die "$1 needs a value; $usage" "$failed" ;;&
      --timeout) timeout=$2 ;;
      --memory) memory=$2 ;;
      --append) append=$2 ;;
      --env) variables+=("$2") ;;
      --console) console=$2 ;;
      *) die "unknown option $1; $usage" "$failed" ;;
    esac
    shift 2
  done
  [ ${#argv[@]} -gt 0 ] || die "no command; $usage" "$failed"
}

# Uses the addon that the host built for itself if it loads in the lab's machine; addon.sh finds out.
choose_addon() {
  local own=$checkout/build/Release/virtio_media_bridge.node addon
  [ -e "$own" ] || return 0
  addon=$("$lab_scripts/addon.sh") || return 0
  [ "$addon" != "$own" ] || return 0
  cp -- "$addon" "$run/addon.node"
  variables=(VMB_ADDON=/run/lab/addon.node "${variables[@]}")
}

# The tests need the camera of usb-camera/. They report it if it is missing.
make_camera() {
  [ "${VMB_LAB:-}" != demo ] || return 0
  "$lab_scripts/usb-camera/build.sh" > /dev/null || echo 'run.sh: the USB camera could not be built: the lines above say why' >&2
}

# Files for the machine's guest/init, in a folder that only this run shares with the machine.
make_run_folder() {
  run=$(mktemp -d "${TMPDIR:-/tmp}/vmb-lab.XXXXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  choose_addon
  printf '%s\0' "${argv[@]}" > "$run/argv"
  printf '%s\0' "${variables[@]}" > "$run/env"
  touch -- "$run/stdout" "$run/stderr"
  if [ -t 0 ] && [ -t 1 ] && [ "$accel" != um ]; then
    stty size > "$run/terminal"
    terminal_state=$(stty -g)
  fi
  if [ /dev/stdout -ef /dev/stderr ]; then : > "$run/merge"; fi
}

clean_up() {
  if [ -n "$vm" ]; then
    kill -TERM "$vm" 2> /dev/null || true
    wait "$vm" || true
  fi
  if [ -n "$terminal_state" ]; then stty "$terminal_state" || true; fi
  if [ -n "$console" ]; then cp -- "$run/console" "$console" || true; fi
  rm -rf -- "$run"
}

# QEMU ends an option's value at a comma in a path, and reads two commas as one.
share() {
  local tag=$1 path=${2//,/,,} more=${3-}
  machine+=(-fsdev "local,id=$tag,path=$path,security_model=none,multidevs=remap$more" -device "virtio-9p-pci,fsdev=$tag,mount_tag=$tag")
}

# The lab's own QEMU with its own libraries, so that every host runs the same version.
# no_timer_check: on a busy host the emulated timer is too late for the kernel's test, which then panics.
# hugepages: taken at boot, because a machine that has run for a while has no 2 MiB of contiguous memory.
# erms, fsrm: emulation executes "rep movsb" byte by byte. Without them kernel and libc copy seven times as fast.
qemu_command() {
  local root=$lab/rootfs usr=$lab/rootfs/usr
  machine=("$root/lib64/ld-linux-x86-64.so.2" --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/qemu-system-x86_64"
    -L "$usr/share/qemu" -L "$usr/share/seabios" -nodefaults -no-user-config -display none -no-reboot -smp 2 -m "$memory"
    -kernel "$lab/vmlinuz" -initrd "$lab/initrd" -append "console=ttyS0 panic=-1 quiet mitigations=off no_timer_check hugepages=2 $append"
    -device isa-debug-exit,iobase=0xf4 -serial "file:${run//,/,,}/console")
  case $accel in
    tcg) machine+=(-accel tcg,thread=multi,tb-size=1024 -cpu max,erms=off,fsrm=off) ;;
    kvm) machine+=(-accel kvm -cpu host) ;;
  esac
  share rootfs "$root" ,readonly=on
  share checkout "$checkout"
  share run "$run"
  if [ -e "$run/terminal" ]; then machine+=(-chardev stdio,id=tty,signal=off -serial chardev:tty); fi
}

# Chooses the first processor that this script may use and that no other machine uses. It is locked through descriptor 6
# until this machine ends. If all are in use, the machine may run on any of them.
choose_processors() {
  local all number
  all=$(taskset --cpu-list --pid $$)
  all=${all##*: }
  for number in $(tr ',' '\n' <<< "$all" | awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }'); do
    exec 6> "$lab_dir/processor-$number"
    if flock --nonblock 6; then
      processors=$number
      return
    fi
  done
  exec 6>&-
  processors=$all
}

# Every page that the kernel as a program gets by vmalloc() is a mapping of the host, and the buffers that v4l2-compliance
# asks vivid for are as many pages as the host usually allows. Beyond that the kernel tries again without end, with its
# clock stopped. Only root may change the limit.
allow_mappings() {
  local limit=/proc/sys/vm/max_map_count wanted=262144
  if [ "$(cat "$limit")" -lt "$wanted" ]; then { echo "$wanted" > "$limit"; } 2> /dev/null || true; fi
}

# The kernel as a program: without QEMU, with the host's folders as they are. It gets one processor of the host, because
# its processes take turns, and each change of the processor would cost them a third of their speed.
um_command() {
  local processors
  choose_processors
  allow_mappings
  [ -e "$um/linux" ] || die "there is no kernel in $um: test/lab/um/build.sh makes it" "$failed"
  touch -- "$um"
  case $lab_dir$checkout$run in *' '*) die 'a folder with a space in its name cannot be given to this kernel' "$failed" ;; esac
  export TMPDIR=/dev/shm # where the machine's memory file is created
  # shellcheck disable=SC2206  # kernel arguments are words
  machine=(taskset --cpu-list "$processors" "$um/linux" "mem=${memory}M" rootfstype=hostfs rootflags=/ ro "init=$lab_scripts/um/init"
    "lab.rootfs=$lab/rootfs" "lab.modules=$(echo "$um"/lib/modules/*)" "lab.checkout=$checkout" "lab.run=$run"
    seccomp=on con=null con0=null,fd:9 panic=-1 quiet $append)
  exec 9> "$run/console"
}

machine_command() {
  case $accel in
    tcg | kvm) qemu_command ;;
    um) um_command ;;
    *) die "VMB_LAB_ACCEL must be tcg, kvm or um, not $accel" "$failed" ;;
  esac
}

# --pdeathsig: QEMU ends even if this script is killed by SIGKILL.
start() {
  local input=/dev/null
  if [ -e "$run/terminal" ]; then input=/dev/stdin; fi
  setpriv --pdeathsig TERM timeout --foreground --kill-after=5 "$timeout" \
    setpriv --pdeathsig KILL "${machine[@]}" < "$input" 2> "$run/qemu" &
  vm=$!
}

# If the reader of the output goes away (run.sh ... | head), the machine is ended.
follow() {
  tail -c +1 -s 0.05 -f --pid="$vm" -- "$run/$1" && return
  : > "$run/reader-gone"
  kill -TERM "$vm" 2> /dev/null
}

# Ends a machine that never starts its command: a broken /dev/kvm stops QEMU without ending it.
watch_boot() {
  local start=$SECONDS deadline=$((SECONDS + boot_limit)) told=0
  while [ ! -e "$run/started" ] && kill -0 "$vm" 2> /dev/null; do
    if [ -n "$tell" ] && [ $((SECONDS - start)) -ge $((told + 3)) ]; then
      told=$((SECONDS - start))
      echo "the machine boots: $told s" >&2
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "run.sh: the machine did not boot in $boot_limit s" >> "$run/qemu"
      kill -TERM "$vm"
      return
    fi
    sleep 0.5
  done
}

finish() {
  local status=0
  wait "$vm" || status=$?
  vm=
  wait
  if [ -s "$run/status" ]; then exit "$(cat -- "$run/status")"; fi
  if [ -e "$run/reader-gone" ]; then exit "$reader_gone"; fi
  case $status in
    124 | 137) die "the command was ended after $timeout s; --timeout gives it more" "$timed_out" ;;
  esac
  cat -- "$run/qemu" >&2
  tail -n 60 -- "$run/console" >&2 || true
  die "the machine ended without an exit status: its last console lines are above" "$failed"
}

main() {
  parse "$@"
  need_root
  hold_lab "$failed"
  make_camera
  make_run_folder
  machine_command
  start
  watch_boot &
  if [ ! -e "$run/terminal" ]; then
    follow stdout &
    follow stderr >&2 &
  fi
  finish
}

main "$@"
