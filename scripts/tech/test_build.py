"""The whole way from packages to files, with packages of a page each and an apt that copies them from a folder."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import build
import corpus
import fixtures
import origins
import sources

SCRIPT = Path(__file__).resolve().parents[1] / "fetch_tech.sh"
SIX = ["rust", "postgresql", "sqlite", "python", "docker", "nova"]
IDS = ["tech-rust-book-ch01-00-loops", "tech-postgresql-html-vacuum", "tech-sqlite-c3ref-pager",
       "tech-python-library-queue", "tech-docker-commandline-daemon", "tech-nova-admin-scheduler"]

# apt-cache knows the packages in $APT; apt-get copies one from there, and fails like the real one where it has none.
APT_CACHE = """#!/bin/sh
case $1 in
show) test -e "$APT/$2.deb" ;;
depends) printf '%s\\n  Depends: libjs-sphinxdoc\\n  Depends: %s\\n' "$2" "$(cat "$APT/$2.depends")" ;;
esac
"""
APT_GET = """#!/bin/sh
for package; do :; done
echo "$*" >> "$APT/asked"
cp "$APT/$package.deb" . && test ! -e "$APT/broken" || { echo "E: Unable to fetch some archives" >&2; exit 100; }
"""


class Whole(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out/corpus.jsonl"
        self.packages = fixtures.packages()
        # The sums of the made-up packages are the known ones.
        known = {fixtures.PACKAGES[name]: hashlib.sha256(data).hexdigest() for name, data in self.packages.items()}
        self.patch(origins, "KNOWN_PACKAGES", known)
        self.patch(build, "KNOWN_CORPORA", {})

    def patch(self, module, name, value):
        patch = mock.patch.object(module, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def put_debs(self, names=SIX, folder="debs"):
        folder = self.folder / folder
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / f"{fixtures.PACKAGES[name][0]}.deb").write_bytes(self.packages[name])
        return folder

    def put_apt(self):
        folder = self.put_debs(folder="apt")
        for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        patch = mock.patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}", APT=str(folder))
        patch.start()
        self.addCleanup(patch.stop)
        return folder

    def run_build(self, *arguments, code=0):
        """What the program said, after it ended with `code`."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            try:
                got = build.main(["--out", str(self.out), *map(str, arguments)])
            except SystemExit as end:
                got = end.code
        self.assertEqual(got, code, said.getvalue())
        return said.getvalue()

    def documents(self):
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]

    def ids(self):
        return [document["id"] for document in self.documents()]

    def left_over(self):
        return sorted(path.name for path in self.out.parent.iterdir())

    def test_packages_become_a_corpus_and_its_sources(self):
        said = self.run_build("--from", self.put_debs())
        self.assertEqual(self.ids(), IDS)
        self.assertEqual(self.documents()[0],
                         {"id": IDS[0], "source": "rust", "text": "\n\n".join(fixtures.prose("loop"))})
        self.assertEqual(self.left_over(), ["corpus.jsonl", "corpus.sources.md"])
        page = (self.out.parent / "corpus.sources.md").read_text("utf-8")
        for told in (hashlib.sha256(self.out.read_bytes()).hexdigest(), "nova-doc | 2:26.0", "CC-BY-3.0", "PSF-2.0",
                     "PostgreSQL Global Development Group", hashlib.sha256(self.packages["rust"]).hexdigest()):
            self.assertIn(told, page)
        for name in SIX:
            self.assertIn(f"fetch_tech: {name}: {fixtures.PACKAGES[name][0]}", said)

    def test_the_same_again_changes_nothing(self):
        self.run_build("--from", self.put_debs())
        before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.out.parent.iterdir()}
        self.assertIn("there already, with the same bytes", self.run_build("--from", self.put_debs()))
        after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.out.parent.iterdir()}
        self.assertEqual(after, before)

    def test_apt_gives_the_same_bytes(self):
        self.run_build("--from", self.put_debs())
        before = self.out.read_bytes()
        shutil.rmtree(self.out.parent)
        apt = self.put_apt()
        said = self.run_build()
        self.assertEqual(self.out.read_bytes(), before)
        self.assertIn("sum as expected", said)
        asked = (apt / "asked").read_text().splitlines()
        self.assertEqual(len(asked), 6)
        self.assertTrue(all(line.startswith("download ") and "AllowUnauthenticated=false" in line for line in asked))

    def test_a_release_with_other_packages_is_read_by_what_its_metapackage_depends_on(self):
        apt = self.put_apt()
        (apt / "python3.11-doc.deb").unlink()
        (apt / "python3-doc.depends").write_text("python3.99-doc")
        page = {"./usr/share/doc/python3.99/html/library/queue.html": fixtures.html("queue")}
        (apt / "python3.99-doc.deb").write_bytes(fixtures.deb("python3.99-doc", "3.99", page))
        self.patch(build, "KNOWN_CORPORA", {None: "0" * 64})
        said = self.run_build()
        self.assertEqual(self.ids(), IDS)
        self.assertIn("python3.99-doc 3.99", said)
        self.assertIn("no sum is known for these versions of python;", said)

    def test_what_apt_does_not_have_is_said_before_anything_is_downloaded(self):
        apt = self.put_apt()
        (apt / "nova-doc.deb").unlink()
        self.assertIn("apt has no package nova-doc for the source nova. Run `apt-get update`", self.run_build(code=1))
        self.assertFalse((apt / "asked").exists() or self.out.exists())

    def test_a_failed_download_says_what_apt_said(self):
        apt = self.put_apt()
        (apt / "broken").touch()
        self.assertIn("apt-get download rust-doc failed: E: Unable to fetch", self.run_build(code=1))

    def test_apt_that_gives_another_package_is_refused(self):
        apt = self.put_apt()
        folder = "./usr/share/doc/rust-doc/html/book/"
        (apt / "rust-doc.deb").write_bytes(fixtures.deb("crust-doc", "1", {folder + "ch01-00-loops.html": b""}))
        self.assertIn("calls itself crust-doc, not rust-doc", self.run_build(code=1))
        self.assertFalse(self.out.exists())

    def test_without_apt_the_message_says_what_to_do(self):
        with mock.patch.dict(os.environ, PATH=str(self.folder)):
            said = self.run_build(code=1)
        self.assertIn("apt-get is not on this machine", said)
        self.assertIn("rustup component add rust-docs", said)
        self.assertEqual(self.run_build("--without-apt"), build.without_apt() + "\n")

    def test_a_changed_package_of_a_known_version_is_refused(self):
        page = {"./" + fixtures.PAGES["rust"][0]: fixtures.html("forgery")}
        self.packages["rust"] = fixtures.deb(*fixtures.PACKAGES["rust"], page)
        said = self.run_build("--from", self.put_debs(), code=1)
        self.assertIn("rust-doc.deb is not the rust-doc 1.0 that is known: its sha256 is", said)
        self.assertFalse(self.out.exists())

    def test_another_version_is_said_and_read(self):
        page = {"./" + fixtures.PAGES["rust"][0]: fixtures.html("loop")}
        self.packages["rust"] = fixtures.deb("rust-doc", "2.0", page)
        self.patch(build, "KNOWN_CORPORA", {None: "0" * 64})
        said = self.run_build("--from", self.put_debs())
        digest = hashlib.sha256(self.packages["rust"]).hexdigest()
        self.assertIn(f"rust-doc 2.0, 0.0 MB, sha256 {digest}, another version", said)
        self.assertIn("no sum is known for these versions of rust;", said)
        self.assertEqual(self.ids(), IDS)

    def test_the_sum_of_the_corpus_is_checked_where_all_packages_are_known(self):
        debs = self.put_debs()
        self.patch(build, "KNOWN_CORPORA", {None: "0" * 64})
        self.assertIn(f"these packages must give sha256 {'0' * 64}", self.run_build("--from", debs, code=1))
        self.assertFalse(self.out.exists())
        self.assertIn("no sum is known for this choice", self.run_build("--from", debs, "--sources", "rust"))
        self.run_build("--from", debs, "--max-words", 10 ** 6, "--force")
        self.patch(build, "KNOWN_CORPORA", {None: hashlib.sha256(self.out.read_bytes()).hexdigest()})
        self.assertIn("the sum that Debian 12's packages give", self.run_build("--from", debs))

    def test_a_corpus_that_differs_is_replaced_only_by_force(self):
        debs = self.put_debs()
        self.run_build("--from", debs, "--sources", "rust,nova")
        before = self.out.read_bytes()
        said = self.run_build("--from", debs, code=1)
        self.assertIn("exists and differs", said)
        self.assertEqual(self.out.read_bytes(), before)
        self.run_build("--from", debs, "--force")
        self.assertEqual(self.ids(), IDS)
        self.assertEqual(self.left_over(), ["corpus.jsonl", "corpus.sources.md"])

    def test_unpacked_packages_and_folders_by_name_give_the_same_bytes(self):
        self.run_build("--from", self.put_debs())
        before = self.out.read_bytes()
        debian, named = self.folder / "debian", self.folder / "named"
        for name in SIX:
            path, data = fixtures.PAGES[name]
            (debian / path).parent.mkdir(parents=True)
            (debian / path).write_bytes(data)
            below = re.sub(f"{sources.select([name])[0].folder}/", "", path)
            (named / name / below).parent.mkdir(parents=True)
            (named / name / below).write_bytes(data)
        # Debian's package has such a link; the pages must not be read twice.
        (debian / "usr/share/doc/python3.11-doc").mkdir()
        (debian / "usr/share/doc/python3.11-doc/html").symlink_to("../python3.11/html")
        (debian / "usr/share/doc/python3.12").symlink_to("python3.11")
        for folder in (debian, named):
            said = self.run_build("--from", folder)
            self.assertEqual(self.out.read_bytes(), before)
            self.assertIn("a folder: version and sum unknown", said)

    def test_a_source_must_be_in_the_folder_once(self):
        debs = self.put_debs(["rust"])
        said = self.run_build("--from", debs, code=1)
        self.assertIn("must hold postgresql once, but has it nowhere", said)
        (debs / "rust").mkdir()
        said = self.run_build("--from", debs, "--sources", "rust", code=1)
        self.assertIn("must hold rust once, but has it 2 times", said)
        (debs / "rust-doc.deb").unlink()
        self.assertIn("has no page of rust", self.run_build("--from", debs, "--sources", "rust", code=1))
        self.assertIn("is no folder", self.run_build("--from", debs / "no", code=1))

    def test_packages_that_are_not_asked_for_are_left_alone(self):
        said = self.run_build("--from", self.put_debs(), "--sources", "nova")
        self.assertIn("rust-doc.deb holds rust-doc, which is not asked for", said)
        self.assertEqual(self.ids(), IDS[-1:])

    def test_kubernetes_is_read_only_if_it_is_asked_for(self):
        debs = self.put_debs()
        for path in ("concepts/overview/kinds.md", "tasks/run/kinds.md", "tasks/walk/run/kinds.md", "tasks/_index.md",
                     "tasks/run/example-template.md"):
            (debs / "kubernetes" / path).parent.mkdir(parents=True, exist_ok=True)
            (debs / "kubernetes" / path).write_bytes(fixtures.markdown(path.replace("/", " ").replace(".", " ")))
        self.run_build("--from", debs)
        self.assertEqual(self.ids(), IDS)
        self.run_build("--from", debs, "--sources", "kubernetes,nova", "--force")
        # Two pages would be `run-kinds`: both get their whole paths.
        self.assertEqual(self.ids(), IDS[-1:] + ["tech-kubernetes-overview-kinds", "tech-kubernetes-tasks-run-kinds",
                                                 "tech-kubernetes-tasks-walk-run-kinds"])
        self.put_apt()
        self.assertIn("kubernetes is in no package", self.run_build("--sources", "kubernetes", code=1))

    def test_short_pages_and_repeated_pages_are_no_documents(self):
        debs = self.put_debs()
        folder = "./usr/share/doc/rust-doc/html/book/"
        short = f"<main><p>{fixtures.prose('rope')[0].split('. ')[0]}.</p></main>".encode()
        self.packages["rust"] = fixtures.deb("rust-doc", "2.0", {
            folder + "ch02-00-copy.html": fixtures.html("loop"), folder + "ch01-00-loops.html": fixtures.html("loop"),
            folder + "ch03-00-short.html": short, folder + "appendix-01-keywords.html": fixtures.html("keyword"),
            folder + "print.html": fixtures.html("print"),
            folder + "2018-edition/ch01-00-old.html": fixtures.html("edition")})
        self.put_debs()
        self.run_build("--from", debs)
        self.assertEqual(self.ids(), IDS)

    def test_arguments_that_cannot_be_meant(self):
        for option, value, why in (("--max-words", "0", "at least 1"), ("--max-words", "many", "invalid"),
                                   ("--sources", "rust,perl", "no source is called 'perl'"),
                                   ("--sources", "", "no source is called ''")):
            self.assertIn(why, self.run_build(option, value, code=2))

    def test_an_interrupt_leaves_nothing(self):
        debs = self.put_debs()
        with mock.patch.object(corpus, "build", side_effect=KeyboardInterrupt):
            self.assertIn("interrupted", self.run_build("--from", debs, code=130))
        with mock.patch.object(os, "replace", side_effect=OSError("no space")):
            self.assertIn("no space", self.run_build("--from", debs, code=1))
        self.assertEqual(self.left_over(), [])

    def test_the_script_hands_everything_on(self):
        done = subprocess.run([SCRIPT, "--from", self.put_debs(), "--out", self.out, "--sources", "rust"],
                              env={**os.environ, "PYTHON": sys.executable}, text=True, stderr=subprocess.PIPE,
                              check=False)
        # The made-up package has a version that the real table does not know.
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.ids(), IDS[:1])
        no_python = subprocess.run([SCRIPT], env={**os.environ, "PYTHON": "/no/python"}, text=True,
                                   stderr=subprocess.PIPE, check=False)
        self.assertEqual(no_python.returncode, 1)
        self.assertIn("/no/python is missing or older than 3.8", no_python.stderr)


class Thinning(unittest.TestCase):
    def documents(self, lengths):
        return [(f"d{i}", ["word " * length]) for i, length in enumerate(lengths)]

    def test_every_kth_page_is_kept(self):
        documents = self.documents([100] * 12)
        self.assertEqual([name for name, _ in corpus.thin(documents, 400)], ["d2", "d5", "d8", "d11"])
        self.assertEqual([name for name, _ in corpus.thin(documents, 600)], ["d1", "d3", "d5", "d7", "d9", "d11"])

    def test_a_source_that_is_small_enough_stays_whole(self):
        documents = self.documents([100] * 12)
        for words in (None, 1200, 5000):
            self.assertEqual(corpus.thin(documents, words), documents)


if __name__ == "__main__":
    unittest.main()
