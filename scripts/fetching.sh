# What the scripts that fetch a model have in common; they source it. It knows no model.
# shellcheck shell=bash

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
fail() {
    say "error: $1"
    exit "${2:-1}"
}

# The comment at the head of the script that is run.
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; }

sha256_of() {
    if command -v sha256sum >/dev/null; then
        sha256sum -- "$1"
    else
        shasum -a 256 -- "$1"
    fi | cut -d ' ' -f 1
}
