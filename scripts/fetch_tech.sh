#!/usr/bin/env bash
# Builds TECH, a corpus of English technical documentation, on this machine: data/tech/corpus.jsonl.
#
#   scripts/fetch_tech.sh [--out FILE] [--from DIR] [--max-words N] [--sources A,B] [--force] [--without-apt] [--help]
#
# The text is other people's, under free licences, so the repository holds the recipe only. It comes from six packages
# of Debian 12 with `apt-get download` (44 MB; no root, nothing is installed). apt checks the archive's signature; the
# script compares packages and corpus with known sums, and says so where a package has another version. Without apt,
# --from reads packages or unpacked documentation, and --without-apt says where to get them. docs/tech.md has the
# sources, licences and counts. Needs Python 3.8 or newer (PYTHON names another than python3) and none of its packages.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    echo "fetch_tech: error: $python is missing or older than 3.8; PYTHON=... names another one" >&2
    exit 1
fi
# -B: no __pycache__ in the sources
exec "$python" -B "$here/tech/build.py" "$@"
