#!/usr/bin/env bash
# steps.sh MAKE STEP…: makes the targets one after the other, up to the first that fails, and tells how long each took. The
# first builds the core, which the others take as it is.
#
# "one+other" makes two side by side, neither of which may change what the other reads. What they say goes into target/steps/,
# and is shown whole when each ends; where one fails, the other still runs to its end.
set -euo pipefail
make=$1
shift
table=()
began=$SECONDS
options=()
stopped=0
declare -A running=()

tell() {
    printf '==> %s\n' "Steps, in seconds:" "${table[@]}" "$(printf '%6d  in all' $((SECONDS - began)))"
}
trap tell EXIT

# row BEGIN NAME
row() {
    table+=("$(printf '%6d  %s' $((SECONDS - $1)) "$2")")
}

one() {
    local begin=$SECONDS status=0
    "$make" "${options[@]}" "$1" || status=$?
    row "$begin" "$1"
    return "$status"
}

# stop SIGNAL STATUS: passes the signal on to what runs side by side, which that of a terminal does not reach.
stop() {
    local job
    stopped=$2
    for job in "${!running[@]}"; do
        kill -s "$1" -- "-$job" 2>/dev/null || true
    done
}

side_by_side() {
    local begin=$SECONDS step job result status=0
    mkdir -p target/steps
    trap 'stop HUP 129' HUP
    trap 'stop INT 130' INT
    trap 'stop TERM 143' TERM
    # With job control each has a process group of its own, and does not ignore SIGINT as background jobs do without.
    set -m
    for step in "$@"; do
        "$make" "${options[@]}" "$step" >"target/steps/$step.log" 2>&1 </dev/null &
        running[$!]=$step
    done
    set +m
    echo "==> Side by side, each shown when it ends:$(printf ' target/steps/%s.log' "$@")"
    while [ ${#running[@]} -gt 0 ]; do
        result=0
        if [ ${#running[@]} -gt 1 ]; then
            wait -n -p job "${!running[@]}" || result=$?
        else
            # It may have ended while the other was shown, and wait -n does not know it any more.
            job=${!running[*]}
            wait "$job" || result=$?
        fi
        # A signal ends a wait as well.
        if [ -z "${job:-}" ] || kill -0 "$job" 2>/dev/null; then continue; fi
        step=${running[$job]}
        unset "running[$job]"
        cat "target/steps/$step.log" || true
        row "$begin" "$step, side by side"
        [ "$result" -eq 0 ] || status=$result
    done
    trap - HUP INT TERM
    [ "$stopped" -eq 0 ] || status=$stopped
    return "$status"
}

for step in "$@"; do
    case $step in
    *+*) side_by_side "${step%%+*}" "${step#*+}" ;;
    *) one "$step" ;;
    esac
    options=(-o core)
done
