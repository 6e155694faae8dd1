#!/usr/bin/env bash
# fuzz.sh [SECONDS] [TARGET…]: runs each fuzz target so long (60 s), from its seeds and from what earlier runs found.
# Needs no nightly compiler: libFuzzer wants only flags that a stable one has behind RUSTC_BOOTSTRAP.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(frame protocol deflate handshake environ framing)

export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=../../target/fuzz
tools=$(realpath -m ../../target/tools)
export PATH="$tools/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null; then
    echo "==> Installing cargo-fuzz into ${tools#"$(realpath ../..)"/}"
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" cargo-fuzz
    rm -rf "$tools/build"
fi
echo "==> Building the fuzz targets"
cargo fuzz build --fuzz-dir . --sanitizer none 2>/dev/null || cargo fuzz build --fuzz-dir . --sanitizer none
for target in "${targets[@]}"; do
    corpus=../../target/fuzz/corpus/$target
    mkdir -p "$corpus"
    echo "==> Fuzzing $target for $seconds s"
    log=../../target/fuzz/$target.log
    if ! cargo fuzz run --fuzz-dir . --sanitizer none "$target" "$corpus" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 -artifact_prefix="$corpus-" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "error: $target failed; the input is beside target/fuzz/corpus/$target" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */    executions: /p' "$log"
done
