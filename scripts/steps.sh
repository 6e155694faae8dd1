#!/usr/bin/env bash
# steps.sh MAKE STEP…: makes the targets one after the other, up to the first that fails, and tells how long each took.
set -euo pipefail
make=$1
shift
table=()
began=$SECONDS

tell() {
    printf '==> %s\n' "Steps, in seconds:" "${table[@]}" "$(printf '%6d  in all' $((SECONDS - began)))"
}
trap tell EXIT

for step in "$@"; do
    begin=$SECONDS
    result=0
    "$make" "$step" || result=$?
    table+=("$(printf '%6d  %s' $((SECONDS - begin)) "$step")")
    [ "$result" -eq 0 ] || exit "$result"
done
