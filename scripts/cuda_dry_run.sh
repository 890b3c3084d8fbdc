#!/usr/bin/env bash
# The host's side of the CUDA device without a GPU: builds a stand-in for libcuda and libcublas (sigma-kernels/cuda/dry) and runs the
# tests of the kernels and `sigma-exp selftest` through it. Needs nvcc. What only a GPU can show (its own arithmetic, the driver's compiler, speed) it does not.
# A program built with --features cuda runs through it too: LD_LIBRARY_PATH=target/cuda-dry-run sigma-exp selftest --quick
# On a machine with a GPU the same tests run on it: SIGMA_EXP_GPU=0 cargo test --release -p sigma-kernels --features cuda gpu
set -euo pipefail
cd "$(dirname "$0")/.."
cuda=crates/sigma-kernels/cuda
out=target/cuda-dry-run
mkdir -p "$out"
"${CXX:-c++}" -std=c++17 -O2 -fPIC -shared -Wall -Wextra -Wno-unknown-pragmas -ffp-contract=off -DSIGMA_EMULATOR -I"$cuda" \
  -o "$out/libcuda.so.1" "$cuda/dry/driver.cpp" "$cuda/dry/cublas.cpp" "$cuda/emulator/emulator.cpp"
ln -sf libcuda.so.1 "$out/libcublas.so.13"
LD_LIBRARY_PATH="$PWD/$out" SIGMA_EXP_GPU=0 cargo test --release -p sigma-kernels --features cuda gpu
cargo build --release --features cuda --target-dir target/cuda
LD_LIBRARY_PATH="$PWD/$out" target/cuda/release/sigma-exp selftest --quick --device cuda
