#!/usr/bin/env bash
# pytest.sh [--without-alone] PYTHON [PYTEST_ARGUMENT…]: runs the tests in as many processes as there are processors (at
# most four), and then, unless they are not wanted, one after the other those marked alone. Either may find nothing.
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

run --alone=without -n logical --maxprocesses 4 --dist loadgroup "$@"
if [ "$alone" ]; then
    run --alone=only "$@"
else
    nothing=$((nothing + 1))
fi
if [ "$nothing" -eq 2 ]; then
    status=5
fi
exit "$status"
