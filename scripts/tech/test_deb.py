"""Packages that are sound, and packages and archives that are not: what is read of them and what is refused."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import deb
import fixtures
from errors import TechError

FILES = {"./usr/share/doc/a/one.html": b"one", "./usr/share/doc/a/two.txt": b"two", "./usr/bin/three.html": b"three"}


def is_page(path):
    return path.startswith("usr/share/doc/") and path.endswith(".html")


class Packages(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def put(self, data):
        path = self.folder / "a.deb"
        path.write_bytes(data)
        return path

    def refused(self, data, why):
        path = self.put(data)
        with self.assertRaisesRegex(TechError, why) as refused:
            deb.identity(path)
            deb.files(path, is_page)
        self.assertIn(str(path), str(refused.exception))

    def test_name_version_and_wanted_files(self):
        for compression in ("", "gz", "xz", "bz2"):
            with self.subTest(compression):
                path = self.put(fixtures.deb("a-doc", "1:2.0-1", FILES, compression))
                self.assertEqual(deb.identity(path), ("a-doc", "1:2.0-1"))
                self.assertEqual(deb.files(path, is_page), {"usr/share/doc/a/one.html": b"one"})

    def test_links_are_no_pages(self):
        links = [("./usr/share/doc/a/link.html", "one.html"), ("./usr/share/doc/a/out.html", "/etc/passwd")]
        path = self.put(fixtures.deb("a-doc", "1", FILES, links=links))
        self.assertEqual(list(deb.files(path, is_page)), ["usr/share/doc/a/one.html"])

    def test_paths_that_leave_the_archive_are_refused(self):
        for name in ("../one.html", "./../one.html", "usr/share/doc/../../../../one.html", "/usr/share/doc/a/one.html",
                     ".."):
            with self.subTest(name):
                self.refused(fixtures.deb("a-doc", "1", {**FILES, name: b"out"}), "leaves the archive")
        # A path that turns back within the archive is odd but stays in it.
        path = self.put(fixtures.deb("a-doc", "1", {"./usr/share/doc/b/../a/four.html": b"four"}))
        self.assertEqual(deb.files(path, is_page), {"usr/share/doc/a/four.html": b"four"})

    def test_a_page_that_would_fill_the_memory_is_refused(self):
        with mock.patch.object(deb, "MAX_FILE", 2):
            self.refused(fixtures.deb("a-doc", "1", FILES), "over the limit")

    def test_archives_that_are_no_packages_are_refused(self):
        control = fixtures.tar({"./control": b"Package: a-doc\nVersion: 1\n"})
        data = fixtures.tar(FILES)
        for why, members in {
            "its first member is not debian-binary": [("control.tar.xz", control), ("data.tar.xz", data)],
            "it has no control.tar": [("debian-binary", b"2.0\n"), ("data.tar.xz", data)],
            "it has no data.tar": [("debian-binary", b"2.0\n"), ("control.tar.xz", control)],
            "no package and version": [("debian-binary", b"2.0\n"),
                                       ("control.tar.xz", fixtures.tar({"./control": b"?"}))],
        }.items():
            with self.subTest(why):
                self.refused(fixtures.ar(members), why)
        self.refused(b"", "it is no ar archive")
        self.refused(b"<html>Not found</html>", "it is no ar archive")

    def test_damaged_packages_are_refused(self):
        whole = fixtures.deb("a-doc", "1", FILES)
        self.refused(whole[:-10], "it is cut off")
        self.refused(whole[:100], "damaged|cut off")
        self.refused(whole + b"more", "is damaged")
        self.refused(whole.replace(b"`\n", b"??"), "the header at byte 8 is damaged")
        size = whole.index(b"data.tar.xz") + 48
        self.refused(whole[:size] + b"-1        " + whole[size + 10:], "is damaged")
        self.refused(whole[:size] + b"9999999999" + whole[size + 10:], "it is cut off")
        # Within the compressed data, where only the decompressor or tar's own sums can tell.
        for at in range(size + 40, len(whole) - 40, 16):
            damaged = whole[:at] + bytes([whole[at] ^ 0xff]) + whole[at + 1:]
            self.refused(damaged, "is not a sound Debian package|cannot read")

    def test_a_missing_package_is_a_message(self):
        with self.assertRaisesRegex(TechError, "cannot read .*no.deb"):
            deb.identity(self.folder / "no.deb")

    def test_a_compression_that_needs_dpkg_says_so(self):
        members = [("debian-binary", b"2.0\n"), ("control.tar.zst", b"?"), ("data.tar.zst", b"?")]
        with mock.patch.object(shutil, "which", return_value=None):
            self.refused(fixtures.ar(members), "cannot unpack control.tar.zst, and dpkg-deb is not installed")

    def test_what_dpkg_could_not_unpack_is_refused(self):
        # It writes a whole archive, and then finds something wrong.
        tar = self.folder / "control.tar"
        tar.write_bytes(fixtures.tar({"./control": b"Package: a-doc\nVersion: 1\n"}, ""))
        script = self.folder / "dpkg-deb"
        script.write_text(f"#!/bin/sh\ncat {tar}\nexit 2\n")
        script.chmod(0o755)
        with mock.patch.dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"):
            self.refused(fixtures.ar([("debian-binary", b"2.0\n"), ("control.tar.zst", b"?")]),
                         "dpkg-deb could not unpack control.tar.zst")

    @unittest.skipUnless(shutil.which("dpkg-deb"), "dpkg-deb is not installed")
    def test_dpkg_reads_what_python_cannot(self):
        broken = fixtures.ar([("debian-binary", b"2.0\n"), ("control.tar.zst", b"?")])
        self.refused(broken, "is not a sound Debian package")
        root = self.folder / "root"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN/control").write_text("Package: a-doc\nVersion: 1\nArchitecture: all\nMaintainer: a\n"
                                             "Description: a\n")
        for name, data in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        path = self.folder / "a.deb"
        done = subprocess.run(["dpkg-deb", "-Zzstd", "--build", root, path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            self.skipTest("this dpkg-deb writes no .zst")
        self.assertEqual(deb.identity(path), ("a-doc", "1"))
        self.assertEqual(deb.files(path, is_page), {"usr/share/doc/a/one.html": b"one"})


if __name__ == "__main__":
    unittest.main()
