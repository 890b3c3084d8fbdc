"""Makes documents of pages: one a page, its paragraphs apart by an empty line, one JSON object a line.

It deliberately writes no file, and does not know where the pages come from. The same pages in the same order give the
same bytes, whatever the machine and the version of Python.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field

import markup
import prose
from errors import TechError

# Words. What is left of a shorter page is a remark, not a text.
SHORTEST_DOCUMENT = 60


@dataclass
class Counts:
    pages: int = 0
    blocks: int = 0
    prose: int = 0
    # Of the documents that are in the corpus:
    documents: int = 0
    paragraphs: int = 0
    words: int = 0


@dataclass
class Corpus:
    data: bytes
    # {source: Counts} in the order of the corpus.
    counts: dict = field(default_factory=dict)

    @property
    def sha256(self):
        return hashlib.sha256(self.data).hexdigest()

    def total(self, what):
        return sum(getattr(counts, what) for counts in self.counts.values())


def build(origins, max_words=None):
    """The corpus of all origins. A source with more than `max_words` keeps every k-th page of its own."""
    memory = prose.Memory()
    corpus = Corpus(b"")
    lines = []
    for origin in origins:
        name = origin.source.name
        counts = corpus.counts[name] = Counts(pages=len(origin.pages))
        documents = []
        for identifier, (path, data) in zip(identifiers(origin.source, origin.pages), origin.pages):
            kept = _paragraphs(path, data, memory, counts)
            if _words(kept) >= SHORTEST_DOCUMENT:
                documents.append((identifier, kept))
        for identifier, kept in thin(documents, max_words):
            counts.documents += 1
            counts.paragraphs += len(kept)
            counts.words += _words(kept)
            line = {"id": identifier, "source": name, "text": "\n\n".join(kept)}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    corpus.data = "".join(lines).encode()
    return corpus


def _paragraphs(path, data, memory, counts):
    """What of the page is prose and was not read before."""
    blocks = markup.blocks(path, data)
    found = [text for text in map(prose.paragraph, blocks) if text]
    counts.blocks += len(blocks)
    counts.prose += len(found)
    return [text for text in found if not memory.repeats(text)]


def _words(paragraphs):
    return sum(len(text.split()) for text in paragraphs)


def thin(documents, max_words):
    """Every k-th document, spread evenly, for about `max_words` words: pages differ in length, so it is not exact."""
    total = sum(_words(kept) for _, kept in documents)
    if not max_words or max_words >= total:
        return documents
    keep = max_words / total
    return [document for i, document in enumerate(documents) if int((i + 1) * keep) > int(i * keep)]


def identifiers(source, pages):
    """An id for every page: source, folder and file name, or the whole path where two pages would share an id."""
    paths = [re.sub(r"(\.html|\.md|\.gz)+$", "", path).split("/") for path, _ in pages]
    short = ["-".join([source.name, *([source.label] + path)[-2:]]) for path in paths]
    long = ["-".join([source.name, *path]) for path in paths]
    taken = {}
    for name in short:
        taken[name] = taken.get(name, 0) + 1
    names = ["tech-" + (name if taken[name] == 1 else whole) for name, whole in zip(short, long)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TechError(f"two pages of {source.name} would have the id {twice}")
    return names
