#!/usr/bin/env bash
# miri.sh: runs under Miri the tests of the core that it can run: those that do no I/O but with memory.
set -euo pipefail
if ! rustup toolchain list 2>/dev/null | grep -q ^nightly || ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "error: Miri is not here. Install it and try again:" >&2
    echo "    rustup toolchain install nightly --component miri --component rust-src" >&2
    exit 1
fi
# Properties are tried on a few inputs, since Miri takes a hundred times as long, and failures are not written down,
# since it lets nobody write files.
export PROPTEST_CASES=8 PROPTEST_DISABLE_FAILURE_PERSISTENCE=true CARGO_TARGET_DIR=target/miri
# Megabytes take it too long, and so do the properties that ask for a number of inputs of their own.
cargo +nightly miri test --no-default-features --lib --test rust -- \
    wire:: connection::mailbox connection::turnstile \
    --skip wire::memory --skip wire::differential --skip no_bytes_make --skip what_is_deflated \
    --skip give_the_same_events --skip gives_the_same_events
