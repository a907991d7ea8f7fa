# Quiet work that says what it is at; sourced by the scripts that fetch, unpack and build.
# shellcheck shell=bash

said_every=${VMB_SAID_EVERY:-5} # seconds

# What a log says last, after its first $2 bytes, in a few words.
last_word() {
  tail -c +$(($2 + 1)) -- "$1" 2> /dev/null | tail -c 4000 | tr '\r' '\n' | grep -av '^[[:space:]]*$' | tail -n 1 | tr -cd '[:print:]' | cut -c1-70
}

# Until it is ended: a line every few seconds, on a terminal always the same one.
tell_time() {
  local what=$1 log=$2 start=$SECONDS from
  from=$(stat -c %s -- "$log" 2> /dev/null || echo 0)
  while sleep "$said_every" > /dev/null 2>&1; do # nothing of it holds the output open
    if [ -t 1 ]; then
      printf '\r\033[K%s: %s s  %s' "$what" $((SECONDS - start)) "$(last_word "$log" "$from")"
    else
      printf '%s: %s s  %s\n' "$what" $((SECONDS - start)) "$(last_word "$log" "$from")"
    fi
  done
}

# step WHAT LOG COMMAND [ARGUMENT]...: runs it, its output in the file LOG, and says how long it has taken. Where it fails,
# LOG's last lines are shown and the script that called it ends. No "step || die": bash would then ignore errors inside.
step() {
  local what=$1 log=$2 start=$SECONDS teller status
  shift 2
  [ -t 1 ] || echo "$what"
  tell_time "$what" "$log" &
  teller=$!
  set +e
  (set -e; "$@") >> "$log" 2>&1
  status=$?
  set -e
  kill "$teller" 2> /dev/null
  wait "$teller" 2> /dev/null || true
  [ -t 1 ] && printf '\r\033[K'
  if [ "$status" != 0 ]; then
    tail -n 30 -- "$log" >&2
    printf '%s: %s failed after %s s: see the lines above, or all of %s\n' "${0##*/}" "$what" $((SECONDS - start)) "$log" >&2
    exit "$status"
  fi
  echo "$what: $((SECONDS - start)) s"
}
