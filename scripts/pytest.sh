#!/usr/bin/env bash
# pytest.sh [--without-alone] PYTHON [PYTEST_ARGUMENT…]: runs the tests in two processes for each processor, since they wait
# for a good part of their time, but in no more than four, and then, unless they are not wanted, one after the other those
# marked alone. Either may find nothing.
set -euo pipefail
alone=yes
if [ "$1" = --without-alone ]; then
    alone=
    shift
fi
python=$1
shift
status=0 nothing=0

run() {
    local result=0
    "$python" -m pytest "$@" || result=$?
    case $result in
    0) ;;
    5) nothing=$((nothing + 1)) ;;
    *) status=$result ;;
    esac
}

processes=$("$python" -c 'import os; print(min(4, 2 * (os.cpu_count() or 1)))')
run --alone=without -n "$processes" --dist loadgroup "$@"
if [ "$alone" ]; then
    run --alone=only "$@"
else
    nothing=$((nothing + 1))
fi
if [ "$nothing" -eq 2 ]; then
    status=5
fi
exit "$status"
