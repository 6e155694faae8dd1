#!/usr/bin/env bash
# valgrind.sh: runs the tests of the core's unsafe code, and of what reads and keeps bytes from the network, under
# Valgrind's memcheck, which looks into unsafe code of libraries as well.
set -euo pipefail
command -v valgrind >/dev/null || scripts/packages.sh "make valgrind" valgrind

binary_of() {
    cargo test --quiet --no-default-features --test "$1" --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

check() {
    valgrind --quiet --error-exitcode=1 --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite "$@"
}

signals=$(binary_of signals)
rust=$(binary_of rust)
echo "==> Signal handlers under Valgrind"
check "$signals" --quiet
echo "==> Adopted sockets, wire, mailbox and turnstile under Valgrind"
# Left out: what counts memory itself, and properties of thousands of inputs.
export PROPTEST_CASES=8
check "$rust" --quiet --test-threads 1 \
    connection::adopt wire:: connection::mailbox connection::turnstile \
    --skip wire::memory --skip wire::differential --skip no_bytes_make --skip what_is_deflated \
    --skip give_the_same_events --skip gives_the_same_events
