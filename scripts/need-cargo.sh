#!/usr/bin/env bash
# Says what to do where Rust is missing or too old.
set -euo pipefail
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    echo "error: cargo is not on PATH. Install Rust $wanted or later from https://rustup.rs and try again." >&2
    exit 1
fi
have=$(rustc --version | awk '{print $2}')
if [ "$(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "error: Rust $have is too old: $wanted or later is needed. Run 'rustup update stable' and try again." >&2
    exit 1
fi
if ! command -v cc >/dev/null; then
    scripts/packages.sh "building" gcc libc6-dev
fi
