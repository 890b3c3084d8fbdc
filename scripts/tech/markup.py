"""Turns a page of HTML or Markdown into blocks of running text.

It leaves out what its mark-up says is not prose: code, tables, headings, navigation, version notes. It deliberately
does not look at the words; `prose.py` decides which blocks are worth keeping.
"""

import gzip
import html
import re
from collections import namedtuple
from html.parser import HTMLParser
from io import BytesIO

from errors import TechError

# kind: the tag that began the block. code: how many of its characters stood in code spans.
Block = namedtuple("Block", "kind text code")

MAX_PAGE = 32 << 20

# Every start or end of one of these ends the block before it.
BLOCKS = set("p div li ul ol dl dt dd blockquote section article main body br hr center figure".split())
SKIPPED = set("head script style pre table nav header footer svg form select button sup textarea iframe s strike "
              "h1 h2 h3 h4 h5 h6".split())
# By class: mdBook, DocBook (PostgreSQL), Sphinx (Python, nova), SQLite's own. Not `refentrytitle`: DocBook uses it for
# headings and for the text of links within sentences alike.
SKIPPED_CLASSES = set("navheader navfooter toc headerlink related sphinxsidebar admonition-title versionadded footnote "
                      "footnote-reference versionchanged versionmodified deprecated deprecated-removed field-list "
                      "highlight synopsis menu refnamediv refsynopsisdiv programlisting literallayout indexterm "
                      "seealso nosearch fancy_toc contents availability audit-hook impl-detail codeblock "
                      "imgcontainer".split())
# Skipped where they stand inside a sentence, which goes on after them.
INLINE = {"sup", "a", "button", "span"}
CODE = set("code tt samp kbd var".split())
CODE_CLASSES = {"literal", "pre"}
VOID = set("area base br col embed hr img input link meta source track wbr".split())

# By preference, not by what comes first in the file: a page of Sphinx has its sidebar before its body.
START = re.compile(r'<main\b|<div class="body" role="main"|<div class="docs-body')
BODY = re.compile(r"<body\b")


def blocks(name, data):
    """The blocks of one page. `name` is its file name, whose end tells the format."""
    if name.endswith(".gz"):
        try:
            with gzip.open(BytesIO(data)) as file:
                data = file.read(MAX_PAGE + 1)
        except (OSError, EOFError) as error:
            raise TechError(f"{name} is no sound gzip file: {error}") from error
        if len(data) > MAX_PAGE:
            raise TechError(f"{name} has more than {MAX_PAGE} bytes when unpacked")
    text = data.decode("utf-8", "replace")
    if re.search(r"\.md(\.gz)?$", name):
        text = markdown_to_html(text)
    start = START.search(text) or BODY.search(text)
    parser = BlockParser()
    parser.feed(text[start.start():] if start else text)
    parser.end_block("")
    return parser.blocks


class BlockParser(HTMLParser):
    """Collects blocks in one pass, without a tree, because real pages do not close their tags.

    SQLite's pages leave <p> and <li> open, for example. What follows a <pre> becomes a block of its own.
    """

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks = []
        self.open = []  # (tag, whether it is skipped, whether it is code)
        self.skipped = self.coded = 0  # how many of them are
        self.kind, self.text, self.code = "body", [], 0

    def end_block(self, next_kind):
        text = " ".join("".join(self.text).split())
        if text:
            self.blocks.append(Block(self.kind, text, self.code))
        self.kind, self.text, self.code = next_kind, [], 0

    def handle_starttag(self, tag, attrs):
        classes = set((dict(attrs).get("class") or "").split())
        skip = tag in SKIPPED or bool(classes & SKIPPED_CLASSES)
        code = tag in CODE or bool(classes & CODE_CLASSES)
        if not self.skipped and (tag in BLOCKS or (skip and tag not in INLINE)):
            self.end_block(tag)
        if tag not in VOID:
            self.open.append((tag, skip, code))
            self.skipped += skip
            self.coded += code

    def handle_endtag(self, tag):
        at = next((i for i in range(len(self.open) - 1, -1, -1) if self.open[i][0] == tag), None)
        if at is None:
            return
        if tag in BLOCKS and not self.skipped:
            self.end_block("body")
        for _, skip, code in self.open[at:]:
            self.skipped -= skip
            self.coded -= code
        del self.open[at:]

    def handle_data(self, data):
        if not self.skipped:
            self.text.append(data)
            if self.coded:
                self.code += len(data.strip())


# The little of Markdown that Docker's reference and the Kubernetes site use, as (pattern, replacement) in order.
MARKDOWN = [(re.compile(pattern, flags), replacement) for pattern, flags, replacement in [
    # Front matter.
    (r"\A---\n.*?\n---\n", re.S, ""),
    # Hugo's shortcodes: a glossary term leaves its text, any other leaves what it encloses.
    (r'\{\{<\s*glossary_tooltip\b[^>]*?\btext="([^"]+)"[^>]*>\}\}', 0, r"\1"),
    (r'\{\{<\s*glossary_tooltip\b[^>]*?\bterm_id="([^"]+)"[^>]*>\}\}', 0, lambda term: term[1].replace("-", " ")),
    (r"\{\{[<%].*?[%>]\}\}", re.S, "\n\n"),
    # Comments, Jekyll's tags and attribute lists.
    (r"<!--.*?-->|\{%.*?%\}|\{:.*?\}", re.S, ""),
    # Fenced code, then lines that are code, a table, a quotation or HTML.
    (r"^([ \t]*)(```|~~~).*?^\1\2[^\n]*$", re.S | re.M, "\n<pre></pre>\n"),
    (r"^( {4}|\t|\s*[|>]|\s*<(?!pre)).*$", re.M, "<pre></pre>"),
    # Headings, list items, links and images.
    (r"^#+ .*$|^[=-]{3,}$", re.M, "<h1></h1>"),
    (r"^\s*([-*+]|\d+\.)\s+", re.M, "<li>"),
    (r"!?\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])", 0, r"\1"),
    # Code spans are escaped, or `<name>` would read as a tag and its sentence would lose a word.
    (r"`([^`\n]+)`", 0, lambda span: f"<code>{html.escape(span[1])}</code>"),
    # Emphasis, then paragraphs.
    (r"(\*\*|__|(?<![\w*])[*_](?=\w))([^*_\n]+)\1", 0, r"\2"),
    (r"\n\s*\n", 0, "\n<p>"),
]]


def markdown_to_html(text):
    for pattern, replacement in MARKDOWN:
        text = pattern.sub(replacement, text)
    return text
