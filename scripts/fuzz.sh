#!/usr/bin/env bash
# Runs every fuzz target for a while, from a small corpus made of the repository's own files.
#
#   scripts/fuzz.sh [SECONDS PER TARGET] [TARGET...]        60 seconds and all targets by default
#
# It needs the stable toolchain of the project, a C++ compiler (libFuzzer is compiled from libfuzzer-sys) and python3 for the seeds,
# and neither nightly nor cargo-fuzz: fuzz/rustc.sh gives the project's crates coverage, without sanitizers (the project has no unsafe
# code on these paths). With nightly, `cargo fuzz run TARGET` works too, with sanitizers. An input that crashes, takes over 10 seconds
# or over 1 GiB stays in fuzz/artifacts/TARGET; `target/release/TARGET FILE` runs it again. Exit code 1 if there was any.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly SECONDS_EACH=${1:-60}
# The normal build's folder: its compiled dependencies are taken as they are, so only the project's own crates and libFuzzer are compiled.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
readonly RUN=$CARGO_TARGET_DIR/fuzz-run
shift || true
readonly ALL=(documents tokenizer weights gguf model_config encoder shards results config)
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=("${ALL[@]}")

# a small run, for its files
if [[ ! -e $RUN/metrics.csv ]]; then
    cargo run --quiet --release -p sigma-exp -- run configs/demo_s2.yaml --out "$RUN" --set generations=1 \
        --set corpus.max_contexts=24 --set prompts.max_per_bucket=2 --set evaluation.responses_per_prompt=2 \
        --set evaluation.max_new_tokens=40 --set sigma.observed=12 --set evaluation.noise_replicates=2 >/dev/null 2>&1
fi

# Files of the repository, cut to a size that mutates well, with the byte before them by which a target chooses the format.
python3 - "$RUN" <<'PYTHON'
import json, pathlib, struct, sys

corpus = pathlib.Path("fuzz/corpus")
data = pathlib.Path("data")
goldens = pathlib.Path("crates")

def seed(target, name, content, kind=None):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes((b"" if kind is None else bytes([kind])) + content)

first = lambda name, n: b"".join((data / "fin" / name).read_bytes().splitlines(True)[:n])
seed("documents", "corpus", first("corpus.jsonl", 1), 0)
seed("documents", "prompts", first("prompts.jsonl", 3), 0)
seed("documents", "plain", b"Why do rates rise?\nWhat if they fall?\n", 1)
seed("documents", "parquet", (goldens / "sigma-data/tests/goldens/parquet/pyarrow.parquet").read_bytes(), 2)

seed("gguf", "qwen2", (goldens / "sigma-model/tests/goldens/gguf/qwen2.gguf").read_bytes())

# a tokenizer of the 256 bytes and one merge
tiny = data / "models/opt-tiny"
full = json.loads((tiny / "tokenizer.json").read_text())
letters = {t: i for t, i in full["model"]["vocab"].items() if len(t) == 1 or t in ("</s>", "<pad>", "<s>", "<unk>")}
full["model"].update(vocab=letters, merges=[])
seed("tokenizer", "vocab", json.dumps(letters).encode(), 0)
seed("tokenizer", "merges", b"".join((tiny / "merges.txt").read_bytes().splitlines(True)[:30]), 1)
seed("tokenizer", "config", (tiny / "tokenizer_config.json").read_bytes(), 2)
seed("tokenizer", "special", (tiny / "special_tokens_map.json").read_bytes(), 3)
seed("tokenizer", "tokenizer", json.dumps(full).encode(), 4)

header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
seed("weights", "safetensors", struct.pack("<Q", len(header)) + header + bytes(16), 0)
torch = (goldens / "sigma-model/tests/goldens/opt_bin/pytorch_model.bin").read_bytes()
seed("weights", "zip", torch, 1)
start = torch.index(b"\x80\x02")
seed("weights", "pickle", torch[start:start + 3616], 4)
seed("weights", "index", json.dumps({"weight_map": {"w": "model-00001.safetensors", "v": "pytorch_model.bin"}}).encode(), 2)
doubles = lambda *values: struct.pack(f"<{len(values)}d", *values)
parts = {"curve": ("F64", doubles(1, 4.5, 4e-4, 1.25)), "scalars": ("F64", doubles(1, 1, 1)), "theta#000000": ("F32", bytes(8))}
entries, end = {}, 0
for name, (dtype, data) in parts.items():
    entries[name] = {"dtype": dtype, "shape": [len(data) // (8 if dtype == "F64" else 4)], "data_offsets": [end, end + len(data)]}
    end += len(data)
state = json.dumps(entries).encode()
seed("weights", "training", struct.pack("<Q", len(state)) + state + b"".join(data for _, data in parts.values()), 3)
legacy = (goldens / "sigma-model/tests/goldens/opt_legacy_bin/pytorch_model.bin").read_bytes()
seed("weights", "legacy", legacy[:6000], 1)
seed("weights", "small_pickle", b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
     b"X\x01\0\0\x000X\x03\0\0\0cpuK\x10tQK\0K\x04K\x04\x86K\x04K\x01\x86\x89NtRu.", 4)

seed("model_config", "opt", (tiny / "config.json").read_bytes())
encoder = goldens / "sigma-model/tests/goldens/encoders/bert_dense"
for number, name in enumerate(["modules.json", "1_Pooling/config.json", "2_Dense/config.json", "config_sentence_transformers.json",
                               "sentence_bert_config.json", "tokenizer_config.json"]):
    seed("encoder", name.replace("/", "_"), (encoder / name).read_bytes(), number)
seed("encoder", "special_tokens", b'{"mask_token": {"content": "[MASK]", "lstrip": true}, "additional_special_tokens": ["<sep>"]}', 6)
seed("encoder", "added_tokens", b'{"<sep>": 140}', 7)
seed("encoder", "config", (encoder / "config.json").read_bytes(), 8)
npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", 60) + b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), } ".ljust(59) + b"\n"
seed("shards", "npy", npy + bytes(16), 0)
seed("shards", "safetensors", struct.pack("<Q", len(header)) + header + bytes(16), 1)
for file in sorted((goldens / "sigma-data/tests/goldens").rglob("*.parquet")):
    if file.stat().st_size < 20_000:
        seed("shards", file.name, file.read_bytes(), 2)

run = pathlib.Path(sys.argv[1])
for number, name in [(0, "gen-001/record.json"), (1, "manifest.json"), (2, "metrics.csv"), (4, "buckets.csv"), (4, "timings.csv")]:
    seed("results", name.replace("/", "_"), (run / name).read_bytes(), number)
seed("results", "stopped", json.dumps({"schema": 1, "generation": 2, "flag": "loss_not_finite", "message": "x"}).encode(), 3)

for file in sorted(pathlib.Path("configs").glob("*.yaml")):
    seed("config", file.stem, file.read_bytes(), 0)
seed("config", "complete", (run / "config.yaml").read_bytes(), 0)
seed("config", "set", b"training.epochs=2\ncheckpoints.keep={every: 2}\nmixture.real_fraction=0.5\ncorpus={hub: org/data, file: x.jsonl}\n", 1)
PYTHON

(cd fuzz && RUSTC_WRAPPER=$PWD/rustc.sh cargo build --release --bins)

failed=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/artifacts/$target"
    echo "fuzz: $target for $SECONDS_EACH s"
    # what a library says of each input would only fill the screen
    "$CARGO_TARGET_DIR/release/$target" -max_total_time="$SECONDS_EACH" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" >"fuzz/artifacts/$target.log" 2>&1 || {
        failed=1
        echo "fuzz: $target FAILED:"
        grep -aE "panicked|ERROR|Test unit" -A2 "fuzz/artifacts/$target.log" | head -20
    }
    grep -aE "stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)" "fuzz/artifacts/$target.log" || true
done
rm -rf /dev/shm/sigma-fuzz-* "${TMPDIR:-/tmp}"/sigma-fuzz-*
exit "$failed"
