#!/usr/bin/env bash
# advisories.sh fail|skip CARGO_AUDIT: looks the crates of Cargo.lock up in the RustSec advisory database. The
# database is the folder that ADVISORY_DB names, or else a clone under target/, brought up to date. Where it cannot be
# had, says how to get it, and fails unless told to skip.
set -euo pipefail
without=$1 tool=$2
database=${ADVISORY_DB:-target/advisory-db}
address=https://github.com/rustsec/advisory-db

missing() {
    echo "advisories: $1" >&2
    [ "$without" = skip ] || exit 1
    echo "==> The advisories are not looked up" >&2
    exit 0
}

if [ ! -x "$tool" ]; then
    tool=$(command -v cargo-audit) || missing "cargo-audit is not here. Run \`cargo install --locked cargo-audit\` and try again."
fi
if [ -z "${ADVISORY_DB:-}" ]; then
    if [ -d "$database" ]; then
        get=(git -C "$database" pull --quiet --ff-only)
    else
        get=(git clone --quiet --depth 1 "$address" "$database")
    fi
    if ! GIT_TERMINAL_PROMPT=0 timeout 300 "${get[@]}"; then
        missing "the advisory database cannot be had from here. Clone $address where it can, and name
    the folder: make advisories ADVISORY_DB=/path/to/advisory-db"
    fi
elif [ ! -d "$database/crates" ]; then
    missing "$database has no folder named crates: it is no clone of $address"
fi
echo "==> Looking the crates up in the advisory database of $(git -C "$database" log -1 --format=%cs)"
for lock in Cargo.lock tests/fuzz/Cargo.lock; do
    "$tool" audit --quiet --db "$database" --no-fetch --stale --deny warnings --file "$lock"
done
