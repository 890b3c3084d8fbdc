#!/usr/bin/env bash
# What is too slow for CI: intervals and alarms by simulation at full size, many kills, fuzzing, and comparisons with the reference
# implementations. Run it before a release; docs/robustness.md and docs/metrics.md keep its counts and the commit.
#
#   scripts/slow.sh [PART...]        coverage alarms kills fuzz live; all by default
#
# KILLS (200), FUZZ_SECONDS (120) and SIGMA_EXP_NULL_CHAINS (200) say how much of each. `live` needs python3 and installs pinned packages
# into a throwaway virtual environment.
set -euo pipefail
cd "$(dirname "$0")/.."

part() {
    case $1 in
    coverage)
        cargo run --quiet --release -p sigma-metrics --example coverage
        ;;
    alarms)
        SIGMA_EXP_NULL_CHAINS=${SIGMA_EXP_NULL_CHAINS:-200} cargo test --release -p sigma-exp --test it nulls -- --nocapture
        ;;
    kills)
        SIGMA_EXP_KILLS=${KILLS:-200} cargo test --release -p sigma-exp --test it resume -- --nocapture
        ;;
    fuzz)
        scripts/fuzz.sh "${FUZZ_SECONDS:-120}"
        ;;
    live)
        local venv
        venv=$(mktemp -d)
        # shellcheck disable=SC2064 # the folder is known now
        trap "rm -rf '$venv'" RETURN
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet -r scripts/goldens/requirements.txt
        cargo build --quiet --release
        "$venv/bin/python" scripts/live/opt.py
        ;;
    *)
        echo "there is no part '$1': coverage, alarms, kills, fuzz, live" >&2
        return 2
        ;;
    esac
}

parts=("$@")
[[ ${#parts[@]} -gt 0 ]] || parts=(coverage alarms kills fuzz live)
echo "commit $(git rev-parse --short HEAD), $(date -u +%F)"
for name in "${parts[@]}"; do
    begun=$SECONDS
    echo "== $name"
    part "$name"
    echo "== $name: held, $((SECONDS - begun)) s"
done
