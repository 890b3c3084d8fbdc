"""The command line of scripts/fetch_tech.sh: fetch or find the pages, build the corpus, check it, write it.

It deliberately holds no rules: `sources.py` says which pages are read, `markup.py` and `prose.py` what is kept of them.
"""

import argparse
import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import apt
import attribution
import corpus
import origins
from errors import TechError
from sources import KNOWN_CORPORA, SOURCES, select

DEFAULT_OUT = Path(__file__).resolve().parents[2] / "data/tech/corpus.jsonl"


def say(text):
    print(f"fetch_tech: {text}", file=sys.stderr, flush=True)


def main(arguments=None):
    options = parse(arguments)
    if options.without_apt:
        print(without_apt())
        return 0
    try:
        run(options)
    except (TechError, OSError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="fetch_tech.sh",
        description="Builds TECH, a corpus of English technical documentation with free licences, as JSON Lines with "
                    "id, source and text. docs/tech.md says what is in it.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="FILE",
                        help="where the corpus goes (default: data/tech/corpus.jsonl)")
    parser.add_argument("--from", dest="folder", type=Path, metavar="DIR",
                        help="read packages (*.deb) or unpacked documentation in DIR instead of asking apt")
    parser.add_argument("--max-words", type=positive, metavar="N",
                        help="thin every source to about N words (every k-th page); 110000 keeps databases from being "
                             "most of the corpus")
    parser.add_argument("--sources", type=names, metavar="A,B",
                        help="only these of " + ", ".join(source.name for source in SOURCES)
                             + " (default: all but kubernetes)")
    parser.add_argument("--force", action="store_true", help="replace a corpus that is there and differs")
    parser.add_argument("--without-apt", action="store_true", help="say where the pages come from without apt, and end")
    return parser.parse_args(arguments)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def names(text):
    chosen = text.split(",")
    try:
        select(chosen)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return chosen


def without_apt():
    lines = ["Without apt, put the pages of each source into a folder of its name, and give the folder around them:",
             "    mkdir pages            # pages/rust, pages/python, ...",
             "    scripts/fetch_tech.sh --from pages --sources rust,python",
             "A link in place of a folder will do. Where the pages are:"]
    lines += [f"    {source.name:<12}{source.upstream}" for source in SOURCES]
    lines += ["With the packages themselves (*.deb) in the folder, no apt and no dpkg is needed, and sums are checked.",
              "Other releases and archives than Debian 12's packages give other counts and another sha256."]
    return "\n".join(lines)


def run(options):
    sources = select(options.sources)
    if options.folder:
        coming = origins.from_folder(sources, options.folder, say)
    elif apt.is_there():
        coming = origins.from_apt(sources, say)
    else:
        raise TechError("apt-get is not on this machine.\n" + without_apt())
    found = []
    for origin in coming:
        say(f"{origin.source.name}: {origin}")
        found.append(origin)
    say("reading the pages; all of them take about half a minute")
    built = corpus.build(found, options.max_words)
    print_counts(built)
    check(built, found, sources, options.max_words)
    write(built, attribution.page(options.out.name, built, found, options.max_words), options.out, options.force)


def print_counts(built):
    say(f"{'source':<12}{'pages':>8}{'blocks':>9}{'prose':>9}{'kept':>9}{'documents':>11}{'words':>11}")
    columns = ("pages", "blocks", "prose", "paragraphs", "documents", "words")
    for name in [*built.counts, "all"]:
        values = [built.total(column) if name == "all" else getattr(built.counts[name], column) for column in columns]
        say(f"{name:<12}" + "".join(f"{value:>{width},}" for value, width in zip(values, (8, 9, 9, 9, 11, 11))))


def check(built, found, sources, max_words):
    """Compares the corpus with the known one where the same packages must give the same bytes."""
    if not built.data:
        raise TechError("no document came out of these pages: is this the documentation it should be?")
    say(f"{len(built.data):,} bytes, sha256 {built.sha256}")
    if built.sha256 == KNOWN_CORPORA.get(max_words):
        say("this is the sum that Debian 12's packages give")
    elif sources != select(None) or max_words not in KNOWN_CORPORA:
        say("no sum is known for this choice of sources and words")
    elif not all(origin.known for origin in found):
        others = ", ".join(origin.source.name for origin in found if not origin.known)
        say(f"no sum is known for these versions of {others}; a report should say which corpus a run used")
    else:
        raise TechError(f"these packages must give sha256 {KNOWN_CORPORA[max_words]}. Either the rules were changed, "
                        f"or Python {sys.version.split()[0]} parses HTML in another way (3.8 to 3.14 gave that sum). "
                        f"Nothing was written")


def write(built, page, out, force):
    """Writes the attribution, then the corpus, so that a corpus is never without it. Each comes by one rename."""
    if out.exists():
        old = hashlib.sha256(out.read_bytes()).hexdigest()
        # Old versions vanish from mirrors, and a run refuses to go on with a changed corpus.
        if old != built.sha256 and not force:
            raise TechError(f"{out} exists and differs (sha256 {old}): --force replaces it, --out writes elsewhere")
    out.parent.mkdir(parents=True, exist_ok=True)
    replace(out.with_suffix(".sources.md"), page.encode())
    if replace(out, built.data):
        say(f"{out} is ready; {out.with_suffix('.sources.md').name} beside it names sources and licences")
    else:
        say(f"{out} is there already, with the same bytes")


def replace(path, data):
    """Puts the file there by one rename; False where it is there already."""
    if path.exists() and path.read_bytes() == data:
        return False
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(fresh, 0o644)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        raise
    return True


if __name__ == "__main__":
    sys.exit(main())
