#!/usr/bin/env bash
# licences.sh CARGO_DENY: checks that every crate, on Linux, comes under a licence that deny.toml allows.
set -euo pipefail
tool=$1
if [ ! -x "$tool" ] && ! tool=$(command -v cargo-deny); then
    echo "error: cargo-deny is not here. Run \`cargo install --locked cargo-deny\` and try again." >&2
    exit 1
fi
"$tool" --workspace check licenses
