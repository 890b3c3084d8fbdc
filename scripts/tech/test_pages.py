"""What must stay of a page and what must go.

`dialects/` has a page in the manner of each source, written for these tests, and beside it a text file with the
paragraphs that must be left of it. Nearly all that must go is good prose but for the one thing that tells it.
"""

import gzip
import unittest
from pathlib import Path

import markup
import prose
from errors import TechError


DIALECTS = Path(__file__).with_name("dialects")


def paragraphs(name, page):
    return [text for text in map(prose.paragraph, markup.blocks(name, page)) if text]


class Dialects(unittest.TestCase):
    maxDiff = None

    def test_what_stays_of_each_dialect(self):
        pages = [path for path in sorted(DIALECTS.iterdir()) if path.suffix != ".txt"]
        self.assertEqual(len(pages), 7)
        for path in pages:
            with self.subTest(path.name):
                self.assertEqual(paragraphs(path.name, path.read_bytes()), self.expected(path))

    def expected(self, path):
        blocks = path.with_suffix(".txt").read_text("utf-8").split("\n\n")
        return [" ".join(block.split()) for block in blocks]

    def test_a_compressed_page_reads_like_a_plain_one(self):
        path = DIALECTS / "docker.md"
        self.assertEqual(paragraphs("docker.md.gz", gzip.compress(path.read_bytes())), self.expected(path))

    def test_a_damaged_compressed_page_is_an_error(self):
        whole = gzip.compress(b"text " * 1000)
        for damaged in (whole[:-9], b"no gzip at all", whole[:20]):
            with self.assertRaisesRegex(TechError, "page.md.gz is no sound gzip file"):
                markup.blocks("page.md.gz", damaged)

    def test_a_compressed_page_cannot_fill_the_memory(self):
        with self.assertRaisesRegex(TechError, "when unpacked"):
            markup.blocks("page.md.gz", gzip.compress(bytes(markup.MAX_PAGE + 1)))

    def test_malformed_html_is_read_as_far_as_it_goes(self):
        good = "The tide is a thing that you can rely on, and so is the harbor that you have left by it."
        for page in (f"</p></div></x><p>{good}", f"<p><b><i>{good}</p>", f"<main><p>{good}", f"<p>{good}<!-- no end",
                     f"<p>{good}</p><pre>no end", good, f"\ufeff<p>{good}"):
            with self.subTest(page):
                self.assertEqual(paragraphs("a.html", page.encode()), [good])
        for page in (b"", b"\xff\xfe\x00", b"<", b"<!DOCTYPE", b"<p", b"&#xffffffff;"):
            with self.subTest(page):
                self.assertEqual(paragraphs("a.html", page), [])

    def test_pages_start_at_the_body_by_preference(self):
        side = "<p>The side bar has a sentence that is as long as any of the others, and it comes before the rest.</p>"
        good = "The tide is a thing that you can rely on, and so is the harbor that you have left by it."
        page = f'<body>{side}<div class="body" role="main"><p>{good}</p></div></body>'
        self.assertEqual(paragraphs("a.html", page.encode()), [good])
        self.assertEqual(paragraphs("a.html", f"{side}<body><p>{good}</p></body>".encode()), [good])


class Paragraphs(unittest.TestCase):
    GOOD = "The tide is a thing that you can rely on, and so is the harbor that you have left by it."

    def paragraph(self, text, kind="p", code=0):
        return prose.paragraph(markup.Block(kind, text, code))

    def test_prose_stays(self):
        self.assertEqual(self.paragraph(self.GOOD), self.GOOD)
        quoted = f'"{self.GOOD}"'
        self.assertEqual(self.paragraph(quoted), quoted)

    def test_what_is_no_prose_goes(self):
        good = self.GOOD
        for name, text in {
            "too short": "The tide is a thing that you can rely on.",
            "too long": " ".join([good] * 25),
            "no capital at the beginning": good[0].lower() + good[1:],
            "no end": good[:-1],
            "figures": good + " 1234567890 1234567890 1234567890.",
            "names": "Anna Berta Clara Dora Emma Frida Greta Hanna Ida Jana Kara and the rest of all of them are it.",
            "no function words": "Boats leave harbors quickly because strong winds blow across wide bays every morning "
                                 "during summer months near northern coasts.",
            "braces": good + " {it}.", "an arrow": good + " It -> that.", "a call": good + " Call f(x, y).",
            "an option": good + " Use --tide=high.", "a long identifier": good + " See a_b_c_d.",
            "a variable": good + " Use $HOME.", "letters beyond Latin": good + " \u6f6e.",
            "an address": good + " Go to https://tide.example.", "a version note": "New in version 3: " + good,
            "a licence": good + " It has a free license.", "a list of people": good + " Ask on the mailing list.",
        }.items():
            with self.subTest(name):
                self.assertIsNone(self.paragraph(text))
        self.assertIsNone(self.paragraph(good, kind="dt"))
        self.assertIsNone(self.paragraph(good, code=len(good) // 2))

    def test_what_is_cut_within_a_paragraph(self):
        good = self.GOOD
        for text in (f"{good} See the next chapter.", f"{good} For more details, see above.", f"{good} An example:",
                     good.replace(" thing", " thing (see the table of tides)"),
                     good.replace(" thing", "\u00a0thing"), good.replace("thing", "th\u00ading"),
                     good.replace(", and", " , and")):
            with self.subTest(text):
                self.assertEqual(self.paragraph(text), good)

    def test_typography_becomes_plain(self):
        end = "is what they say in the harbor when a boat has not come back by the evening"
        self.assertEqual(self.paragraph(f"\u201cIt\u2019s the tide\u201d {end}\u2026"), f'"It\'s the tide" {end}...')


class Repeats(unittest.TestCase):
    def test_half_of_the_runs_of_five_words_make_a_repeat(self):
        memory = prose.Memory()
        first = "one two three four five six seven eight nine ten"
        self.assertFalse(memory.repeats(first))
        self.assertTrue(memory.repeats("ONE, two: Three - Four Five; SIX (seven) Eight NINE ten!"))
        # 3 runs of 6 are known, then 3 of 7.
        self.assertTrue(memory.repeats("one two three four five six seven a b c"))
        memory = prose.Memory()
        memory.repeats(first)
        self.assertFalse(memory.repeats("one two three four five six seven a b c d"))

    def test_a_repeat_is_remembered_as_well(self):
        memory = prose.Memory()
        memory.repeats("one two three four five six seven eight nine ten")
        memory.repeats("one two three four five six seven a b c")
        self.assertTrue(memory.repeats("six seven a b c"))

    def test_the_hash_is_the_same_in_every_process(self):
        # printf 'one two three four five' | b2sum -l 64
        self.assertEqual(prose.stable_hash("one two three four five"), 0x3e1da6133e7d53e7)


if __name__ == "__main__":
    unittest.main()
