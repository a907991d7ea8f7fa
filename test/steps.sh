# Runs commands quietly and says what is being done. Sourced by the scripts that download, unpack and build.
# shellcheck shell=bash

said_every=${VMB_SAID_EVERY:-5} # seconds

# Prints the last line of a log (FILE $1) that is not blank, at most 70 characters, ignoring its first $2 bytes.
last_word() {
  tail -c +$(($2 + 1)) -- "$1" 2> /dev/null | tail -c 4000 | tr '\r' '\n' | grep -av '^[[:space:]]*$' | tail -n 1 | tr -cd '[:print:]' | cut -c1-70
}

# Prints a line every few seconds until it is killed. On a terminal it rewrites the same line.
tell_time() {
  local what=$1 log=$2 start=$SECONDS from
  from=$(stat -c %s -- "$log" 2> /dev/null || echo 0)
  while sleep "$said_every" > /dev/null 2>&1; do # sleep must not keep the output open
    if [ -t 1 ]; then
      printf '\r\033[K%s: %s s  %s' "$what" $((SECONDS - start)) "$(last_word "$log" "$from")"
    else
      printf '%s: %s s  %s\n' "$what" $((SECONDS - start)) "$(last_word "$log" "$from")"
    fi
  done
}

# step WHAT LOG COMMAND [ARGUMENT]...: runs the command with its output in the file LOG, and says how long it took. If
# the command fails, the last lines of LOG are shown and the script that called step ends. Never write "step || die":
# bash would then ignore errors inside.
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
