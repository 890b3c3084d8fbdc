"""Decides which blocks of text are English prose, and which of them were read before.

It deliberately knows no mark-up and no files: a block comes with the tag that began it and the length of its code
spans, nothing else.
"""

import hashlib
import re
import unicodedata

# Sources would otherwise differ by their typography alone.
PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u00a0": " ",
                       "\u00ad": None, "\u200b": None, "\u2011": "-", "\ufeff": None, "\u00b6": None})
FUNCTION_WORDS = set("the a an of to in is are be was for and or that this it as by on with if cannot you from which "
                     "will when at but has have may must we your its they than then so there any all each does "
                     "do".split())
REFERENCE = re.compile(r" ?\((?:also )?(?:see|cf\.|refer to)\b[^()]*\)", re.I)
SPACE_BEFORE_MARK = re.compile(r"\s+([,.;:)])(?=\s|$)")
SENTENCE_BORDER = re.compile(r"(?<=[.!?])[\"')]* +(?=[A-Z\"'(])")
# A last sentence that only sends the reader elsewhere.
LEAD_OUT = re.compile(r"^(see|refer to|for (more|further|full|additional|details|a complete)|please see|compare)\b.*"
                      r"\b(see|section|chapter|table|appendix|documentation|details|above|below|refer|pep)\b", re.I)
# Licences, mailing lists, version notes, sentences about the page itself.
BOILERPLATE = re.compile(r"^(new in|changed in|deprecated|availability|source code|raises an|author|release|copyright|"
                         r"this (page|section|chapter|document|documentation) (was|is|describes|covers|lists|contains|"
                         r"documents|provides|explains)|permission|redistribution|filename:|also:|\(?note that this is "
                         r"a reference|click|return value:)|licen[sc]e|all rights reserved|issue tracker|mailing list|"
                         r"https?://|www\.|@\w+\.\w", re.I)
# Code that no mark-up told: braces, arrows, call arguments, options, long identifiers, letters beyond Latin.
CODE_MARKS = re.compile(r"[{}|\\^~`]|=>|->|;\s*$|::\w+::|\w\(\w[^()]*,|--\w+=|\$\w|\w_\w+_\w+_\w|"
                        r"[^\x20-\x7e\u00a1-\u024f\u2013\u2014]")
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
BEGINNING = re.compile(r"[A-Z\"'(]")
END = re.compile(r"[.!?][\"')]*$")

RUN = 5  # words


def paragraph(block):
    """The block as a paragraph, without cross-references and lead-ins to code or lists; None where it is no prose."""
    text = REFERENCE.sub("", unicodedata.normalize("NFC", block.text).translate(PLAIN))
    text = SPACE_BEFORE_MARK.sub(r"\1", " ".join(text.split()))
    last = SENTENCE_BORDER.split(text)[-1]
    if text.endswith(":") or LEAD_OUT.search(last):
        text = text[:len(text) - len(last)].rstrip()
    return text if is_prose(block.kind, text, block.code) else None


def is_prose(kind, text, code):
    words = WORD.findall(text)
    return (kind != "dt"  # a term or a signature; what it means is in the dd
            and 15 <= len(words) <= 400
            and BEGINNING.match(text) is not None
            and END.search(text) is not None
            and sum(c.isalpha() or c.isspace() for c in text) >= 0.9 * len(text)
            and code <= 0.25 * len(text)
            and sum(word.lower() in FUNCTION_WORDS for word in words) >= 0.25 * len(words)
            and sum(word[0].isupper() for word in words) <= 0.4 * len(words)
            and BOILERPLATE.search(text) is None
            and CODE_MARKS.search(text) is None)


class Memory:
    """Which runs of five words were read before, over all sources.

    Eight words were too many: "Do not throw an error if the ... does not exist" came hundreds of times.
    """

    def __init__(self):
        self.runs = set()

    def repeats(self, text):
        """Whether at least half of the paragraph was read before; remembers the paragraph either way."""
        words = re.findall(r"[a-z0-9]+", text.lower())
        runs = {stable_hash(" ".join(words[i:i + RUN])) for i in range(max(1, len(words) - RUN + 1))}
        repeated = len(runs & self.runs) >= 0.5 * len(runs)
        self.runs |= runs
        return repeated


def stable_hash(text):
    """64 bits that are the same in every process; Python's own hash of a text is salted."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
