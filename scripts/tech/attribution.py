"""Writes the page that goes beside a corpus: sources, versions, licences, and what was changed.

Most of the licences ask for it when the text is passed on. The page has no date, so the same packages give the same
bytes.
"""


def page(file_name, corpus, origins, max_words):
    lines = [
        f"# Where `{file_name}` comes from",
        "Written by `scripts/fetch_tech.sh` together with the corpus. Keep it with the corpus when you pass that on: "
        "most of these licences ask for it.",
        "",
        f"- {corpus.total('documents'):,} documents, {corpus.total('words'):,} words, {len(corpus.data):,} bytes",
        f"- sha256 {corpus.sha256}",
        f"- {f'thinned to about {max_words:,} words a source' if max_words else 'not thinned'}",
        "",
        "| source | from | version | licence | copyright | documents | words |",
        "|---|---|---|---|---|--:|--:|",
    ]
    for origin in origins:
        source, counts = origin.source, corpus.counts[origin.source.name]
        lines.append(f"| {source.name} | {origin.name} | {origin.version or 'unknown'} | {source.licence} | "
                     f"{source.holder} | {counts.documents:,} | {counts.words:,} |")
    lines += ["", "The text of each licence, and the project's own pages:"]
    lines += [f"- {origin.source.name}: {origin.source.terms}; {origin.source.home}" for origin in origins]
    if any(origin.version for origin in origins):
        lines += ["", "Each package also has its licences in `usr/share/doc/PACKAGE/copyright`. The packages:"]
        lines += [f"- {origin.name} {origin.version}, sha256 {origin.sha256}" for origin in origins if origin.version]
    lines += [
        "",
        "What was changed: of each page only paragraphs of running text are kept. Code, tables, headings, lists of "
        "names, notes about versions, repeated paragraphs, and references such as \"(see ...)\" are left out, and "
        "typographic quotation marks and spaces are replaced by plain ones. None of the projects named here endorses "
        "this corpus.",
    ]
    return "\n".join(lines) + "\n"
