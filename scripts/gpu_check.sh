#!/usr/bin/env bash
# gpu_check.sh [PROGRAM] [OUT]: everything that can only be seen on a GPU, in one call of under ten minutes.
#
# Builds nothing: PROGRAM is a sigma-exp built with --features cuda (target/release/sigma-exp by default), and it is run from the
# repository's root. First checks, then timings, then the same work by transformers where python3 has it, then a search for races and
# stray accesses by compute-sanitizer where there is one. OUT (gpu_check/ by default) gets a report.md to copy into docs/gpu.md, which
# grows line by line, logs/ with the whole output of each step, and runs/. Each step has a time limit, and all together LIMIT seconds
# (570 by default): what does not end in time is said to, and the next step begins.
# TESTS=PATH also runs the kernels' own tests (target/release/deps/it-*, of cargo test -p sigma-kernels --features cuda --no-run).
# SIZES ("125m tiny") and ROUNDS (2) say what is timed beside transformers, and how often.
# DEVICE=cpu tries the script itself where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/release/sigma-exp}")
out=${2:-gpu_check}
device=${DEVICE:-cuda}
rm -rf "$out/logs" "$out/runs" "$out/shape" "$out"/bench_*.md
mkdir -p "$out/logs" "$out/runs" "$out/shape"
report=$out/report.md
failed=0 steps=0 log=
# 16 bits of the kind that the device is quick in
half=fp16
[ "$device" = cuda ] || half=bf16
end=$((SECONDS + ${LIMIT:-570}))

# PyTorch carries the CUDA libraries that the program needs
libraries=$(python3 -c 'import nvidia, pathlib; print(pathlib.Path(list(nvidia.__path__)[0]) / "cu13/lib")' 2> /dev/null || true)
[ -d "$libraries" ] && export LD_LIBRARY_PATH="$libraries:${LD_LIBRARY_PATH:-}"

say() { echo "$*" | tee -a "$report"; }
# limited SECONDS COMMAND...: with its output in a log of its own; 124 where the time was up
limited() {
  local left=$((end - SECONDS)) most=$1
  shift
  steps=$((steps + 1))
  log=$out/logs/$(printf %02d $steps).log
  echo "$*" > "$log"
  [ "$left" -gt 0 ] || return 124
  timeout --kill-after=10 $((left < most ? left : most)) "$@" >> "$log" 2>&1 &
  local group=$! code
  wait $group
  code=$?
  # what a command that was cut off has started itself must not go on beside the next step
  kill -KILL -- -$group 2> /dev/null
  return $code
}
# check NAME SECONDS COMMAND...: whether it held
check() {
  local name=$1 begun=$SECONDS
  shift
  limited "$@"
  case $? in
    0) say "- holds: $name ($((SECONDS - begun)) s)" ;;
    124 | 137)
      failed=$((failed + 1))
      say "- **no answer in time**: $name ($((SECONDS - begun)) s)"
      ;;
    *)
      failed=$((failed + 1))
      say "- **fails**: $name"
      tail -n 8 "$log" | sed 's/^/      /' | tee -a "$report"
      ;;
  esac
}
# shown FILE: a file of the report's, as it is
shown() {
  say '```'
  tee -a "$report" < "$1"
  say '```'
}
# the demo in small, by the given options
demo=("$program" run configs/demo_s2.yaml --set generations=2 --set evaluation.noise_replicates=0)
# near FOLDER COLUMN ROW FOLDER TOLERANCE: two runs' entries of metrics.csv; an entry that is missing is an error
near() {
  python3 - "$out/runs" "$@" << 'END'
import csv, sys
runs, one, column, row, other, tolerance = sys.argv[1:]
a, b = (float(list(csv.DictReader(open(f"{runs}/{run}/metrics.csv")))[int(row)][column]) for run in (one, other))
print(a, b)
sys.exit(not abs(a - b) <= float(tolerance))
END
}
export -f near
export out device half

: > "$report"
say "# $(date -u +%F): $([ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || echo "no GPU ($device)")"
if ! "$program" --version > "$out/logs/version" 2>&1; then
  say "$program cannot be run: $(tail -n 1 "$out/logs/version")"
  exit 2
fi
say "$(cat "$out/logs/version")"
say ""
say "## Checks"
if [ "$device" = cuda ]; then
  # logits, loss, gradients, steps of training and draws, in every precision, against the CPU
  check "sigma-exp selftest" 150 "$program" selftest --device "$device"
  shown "$log"
  [ -n "${TESTS:-}" ] && check "the kernels' own tests" 90 env SIGMA_EXP_GPU=0 RUST_TEST_THREADS=1 "$TESTS" gpu
else
  say "- not run: sigma-exp selftest, which compares a GPU with the CPU"
fi
check "the demo runs in f32 on the CPU" 90 "${demo[@]}" --fresh --out "$out/runs/cpu" --device cpu
check "the demo runs in f32 on $device" 60 "${demo[@]}" --fresh --out "$out/runs/f32" --device "$device" --set training.precision=fp32
check "the demo runs in $half on $device" 60 "${demo[@]}" --fresh --out "$out/runs/half" --device "$device" --set training.precision=$half
# At t = 0 nothing was trained, but one token that falls on the other side of a rounding changes the rest of its answer.
check "f32: first loss of generation 1 within 2 % of the CPU's" 9 bash -c 'near cpu first_loss 1 f32 0.08'
check "f32: U_cov of the base within 12 nats of the CPU's (one evaluation's noise is about 2)" 9 bash -c 'near cpu u_cov 0 f32 12'
check "$half: last loss within 5 % of f32's" 9 bash -c 'near f32 mean_loss_last_epoch -1 half 0.2'
check "$half: hardly a step is skipped" 9 python3 -c '
import csv, sys
skipped = int(list(csv.DictReader(open(sys.argv[1])))[-1]["skipped_steps"])
print(skipped)
sys.exit(skipped > 20)' "$out/runs/half/metrics.csv"
check "$half: the same run again gives the same numbers to the last digit" 60 bash -c '
  "${@:2}" --fresh --out "$1/again" --device $device --set training.precision=$half && cmp "$1/half/metrics.csv" "$1/again/metrics.csv" &&
  cmp "$1/half/gen-002/responses.jsonl" "$1/again/gen-002/responses.jsonl"' _ "$out/runs" "${demo[@]}"
# it is stopped as soon as generation 0 is done; a run that ended before the signal has shown nothing
check "$half: a run that is stopped goes on to the same numbers" 60 bash -c '
  "${@:2}" --fresh --out "$1/stopped" --device $device --set training.precision=$half & pid=$!
  until [ -e "$1/stopped/gen-000" ] || ! kill -0 $pid; do sleep 0.02; done
  kill -TERM $pid; wait $pid; code=$?
  [ $code = 130 ] || { echo "exit code $code, not 130"; exit 1; }
  "${@:2}" --out "$1/stopped" --device $device --set training.precision=$half && cmp "$1/half/metrics.csv" "$1/stopped/metrics.csv"' _ "$out/runs" "${demo[@]}"

if ! python3 -c 'import torch, transformers' 2> /dev/null; then
  say ""
  say "Not run, since python3 has no torch and transformers: the encoder, OPT-125M's shape, and what transformers does."
else
  python3 scripts/bench/peer.py --size 125m --device "$device" --prepare "$out/shape" > "$out/logs/prepare.log" 2>&1 || say "- **fails**: peer.py --prepare: $(tail -n 1 "$out/logs/prepare.log")"
  encoder=data/models/all-MiniLM-L6-v2
  [ -d "$encoder" ] || encoder=$out/shape/encoder
  embed=("$program" embed configs/demo_s2.yaml --set "encoder.source=$encoder" --texts "$out/shape/texts.jsonl")
  check "embeddings of MiniLM's shape within 1e-4 of the CPU's" 90 bash -c '
    "${@:2}" --device cpu --out "$1/cpu.npy" && "${@:2}" --device "$device" --out "$1/gpu.npy" && python3 -c "
import numpy, sys
a, b = (numpy.load(sys.argv[1] + name) for name in (\"/cpu.npy\", \"/gpu.npy\"))
print(a.shape, abs(a - b).max())
sys.exit(not (a.shape == b.shape and abs(a - b).max() < 1e-4))" "$1"' _ "$out/runs" "${embed[@]}"
  if [ "$device" = cuda ]; then
    say ""
    say "## Generations of OPT-125M's shape (random weights), f16: 1,100 contexts, 5 epochs, the whole prompt bank"
    fin=("$program" run configs/fin_s2.yaml --fresh --device cuda --set "model.source=$out/shape/model" --set "encoder.source=$encoder"
      --set evaluation.noise_replicates=0)
    begun=$(date +%s.%N)
    check "one generation" 60 "${fin[@]}" --out "$out/runs/one" --set generations=1
    one=$(date +%s.%N)
    check "six generations" 90 "${fin[@]}" --out "$out/runs/six" --set generations=6
    six=$(date +%s.%N)
    if [ -e "$out/runs/six/timings.csv" ]; then
      cut -d, -f1,5-8,10 "$out/runs/six/timings.csv" > "$out/logs/timings.csv"
      shown "$out/logs/timings.csv"
      say "A generation more takes $(python3 -c "print(round((($six - $one) - ($one - $begun)) / 5, 2))") s (six less one, by the clock on the wall)."
    fi
  fi
  say ""
  say "## Beside transformers"
  for size in ${SIZES:-$([ "$device" = cuda ] && echo 125m) tiny}; do
    # what was timed is shown even where the rest did not end
    limited 240 python3 -u scripts/bench/peer.py --size "$size" --device "$device" --rounds ${ROUNDS:-2} --program "$program"
    code=$?
    grep -E '^\| |; medians|; torch' "$log" | awk '!shown[$0]++' | sed "s/^/$size: /" | tee -a "$report"
    [ $code = 0 ] || {
      failed=$((failed + 1))
      say "- **no end** of the comparison with $size (exit code $code)"
      tail -n 5 "$log" | tee -a "$report"
    }
  done
fi

if [ "$device" = cuda ] && command -v compute-sanitizer > /dev/null; then
  say ""
  say "## compute-sanitizer, sigma-exp selftest --quick"
  for tool in racecheck memcheck initcheck; do
    check "$tool finds nothing" 90 compute-sanitizer --tool $tool --error-exitcode 9 "$program" selftest --quick --device cuda
  done
fi
say ""
say "$failed checks failed, in $SECONDS s"
exit $((failed > 0))
