#!/usr/bin/env bash
# For RUSTC_WRAPPER: compiles the project's own crates with libFuzzer's coverage, other people's as they are.
set -euo pipefail

for argument in "$@"; do
    if [[ $argument == sigma_* || $argument == fuzz_targets/* ]]; then
        exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=8
    fi
done
exec "$@"
