#!/usr/bin/env bash
# gpu_check.sh [PROGRAM] [OUT]: everything that can only be seen on a GPU, in one call of under ten minutes.
#
# Builds nothing: PROGRAM is a sigma-exp built with --features cuda (target/release/sigma-exp by default), and it is run from the
# repository's root. First checks, then timings, then the same work by transformers where python3 has it. OUT (gpu_check/ by default)
# gets a report.md to copy into docs/gpu.md, and the run folders. DEVICE=cpu tries the script itself where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/release/sigma-exp}")
out=${2:-gpu_check}
device=${DEVICE:-cuda}
mkdir -p "$out/shape"
report=$out/report.md
failed=0

# PyTorch carries the CUDA libraries that the program needs
libraries=$(python3 -c 'import nvidia, pathlib; print(pathlib.Path(list(nvidia.__path__)[0]) / "cu13/lib")' 2> /dev/null || true)
[ -d "$libraries" ] && export LD_LIBRARY_PATH="$libraries:${LD_LIBRARY_PATH:-}"

say() { echo "$*" | tee -a "$report"; }
check() { # NAME COMMAND...: runs it, says whether it held
  local name=$1
  shift
  if "$@" > "$out/last.log" 2>&1; then say "- holds: $name"; else
    failed=$((failed + 1))
    say "- **fails**: $name"
    tail -n 5 "$out/last.log" | sed 's/^/      /' | tee -a "$report"
  fi
}
# the demo in small, by the given options
demo() { # FOLDER OPTIONS...
  local folder=$1
  shift
  "$program" run configs/demo_s2.yaml --out "$folder" --fresh --set generations=2 --set evaluation.noise_replicates=0 "$@"
}
# column COLUMN of the last row of metrics.csv
metric() { python3 -c 'import csv, sys; print(list(csv.DictReader(open(sys.argv[1])))[int(sys.argv[3])][sys.argv[2]])' "$1/metrics.csv" "$2" "${3:--1}"; }
near() { # A B TOLERANCE
  python3 -c 'import sys; a, b, t = map(float, sys.argv[1:]); print(a, b); sys.exit(abs(a - b) > t)' "$@"
}

: > "$report"
say "# $(date -u +%F): $([ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || echo "no GPU ($device)")"
say "$("$program" --version)"
say ""
say "## Checks"
if [ "$device" = cuda ]; then
  # every kernel, product, recorded step and draw, in every precision, against the CPU
  check "sigma-exp selftest" "$program" selftest --device "$device"
  say '```'
  tee -a "$report" < "$out/last.log"
  say '```'
else
  say "- not run: sigma-exp selftest, which compares a GPU with the CPU"
fi
check "the demo runs in f32 on the CPU" demo "$out/cpu" --device cpu
check "the demo runs in f32 on $device" demo "$out/f32" --device "$device" --set training.precision=fp32
check "the demo runs in f16 on $device" demo "$out/f16" --device "$device" --set training.precision=fp16
# At t = 0 nothing was trained, but one token that falls on the other side of a rounding changes the rest of its answer.
check "f32: first loss of generation 1 within 2 % of the CPU's" near "$(metric "$out/cpu" first_loss 1)" "$(metric "$out/f32" first_loss 1)" 0.08
check "f32: U_cov of the base within 12 nats of the CPU's (one evaluation's noise is about 2)" near "$(metric "$out/cpu" u_cov 0)" "$(metric "$out/f32" u_cov 0)" 12
check "f16: last loss within 5 % of f32's" near "$(metric "$out/f32" mean_loss_last_epoch)" "$(metric "$out/f16" mean_loss_last_epoch)" 0.2
check "f16: no loss is skipped for ever" python3 -c 'import sys; sys.exit(int(sys.argv[1]) > 20)' "$(metric "$out/f16" skipped_steps)"
check "f16: the same run again gives the same numbers to the last digit" bash -c '
  "$1" run configs/demo_s2.yaml --out "$2/again" --fresh --set generations=2 --set evaluation.noise_replicates=0 --device "$3" --set training.precision=fp16 &&
  cmp "$2/f16/metrics.csv" "$2/again/metrics.csv" && cmp "$2/f16/gen-002/responses.jsonl" "$2/again/gen-002/responses.jsonl"' _ "$program" "$out" "$device"
check "a run stopped in the middle goes on" bash -c '
  "$1" run configs/demo_s2.yaml --out "$2/stopped" --fresh --set generations=2 --set evaluation.noise_replicates=0 --device "$3" & pid=$!
  sleep 4; kill -TERM $pid 2> /dev/null; wait $pid
  "$1" run configs/demo_s2.yaml --out "$2/stopped" --set generations=2 --set evaluation.noise_replicates=0 --device "$3"' _ "$program" "$out" "$device"

say ""
say "## One generation of OPT-125M's shape (random weights), f16"
if python3 -c 'import transformers' 2> /dev/null && [ "$device" = cuda ]; then
  python3 scripts/bench/peer.py --size 125m --device cuda --prepare "$out/shape" > "$out/last.log" 2>&1
  check "it runs: 1,100 contexts, 5 epochs, the whole prompt bank" "$program" run configs/fin_s2.yaml --out "$out/125m" --fresh \
    --device cuda --set generations=1 --set "model.source=$out/shape/model" --set "encoder.source=$out/shape/model" \
    --set evaluation.noise_replicates=0
  say ""
  say '```'
  cat "$out/125m/timings.csv" | tee -a "$report"
  say '```'
else
  say "not run: python3 has no transformers, or the device is no GPU"
fi

say ""
say "## Beside transformers"
if python3 -c 'import transformers' 2> /dev/null; then
  for size in tiny $([ "$device" = cuda ] && echo 125m); do
    python3 scripts/bench/peer.py --size "$size" --device "$device" --rounds 3 --program "$program" --out "$out/bench_$size.md" > "$out/last.log" 2>&1
    cat "$out/bench_$size.md" >> "$report" 2> /dev/null || tail -n 5 "$out/last.log" | tee -a "$report"
  done
else
  say "not run: python3 has no transformers"
fi
say ""
say "$failed checks failed"
exit $((failed > 0))
