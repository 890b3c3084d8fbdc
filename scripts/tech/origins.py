"""Finds the pages of every source: in packages from apt, or in a folder of packages or unpacked documentation.

It checks what came against the sums in `sources.py`. It deliberately does not look into the pages.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import apt
import deb
from errors import TechError
from sources import KNOWN_PACKAGES


@dataclass
class Origin:
    source: object
    # The package's name or the folder's path, for people.
    name: str
    # Of a package; a folder does not tell them.
    version: str
    sha256: str
    size: int
    # [(path below the source's folder, bytes)] in the order of the corpus.
    pages: list

    @property
    def known(self):
        """Whether this is the very package that the counts come from. Its sum was compared when it was read."""
        return (self.name, self.version) in KNOWN_PACKAGES

    def __str__(self):
        if not self.version:
            return f"{self.name}, a folder: version and sum unknown"
        note = "sum as expected" if self.known else "another version than docs/tech.md was measured with"
        return f"{self.name} {self.version}, {self.size / 1e6:.1f} MB, sha256 {self.sha256}, {note}"


def from_apt(sources, say):
    """Yields the origin of each source, one package at a time; nothing of the packages is left behind."""
    packages = []
    for source in sources:
        if not source.package:
            raise TechError(f"{source.name} is in no package: give its pages with --from (see --without-apt)")
        # All are asked for before the first is downloaded.
        packages.append(apt.choose(source))
    for source, package in zip(sources, packages):
        say(f"{source.name}: downloading {package}")
        with tempfile.TemporaryDirectory(prefix="fetch_tech.") as folder:
            path = apt.download(package, folder)
            found = _package(source, path)
            if found.name != package:
                raise TechError(f"{path.name} calls itself {found.name}, not {package}")
            yield found


def from_folder(sources, folder, say):
    """Yields the origin of each source from DIR/*.deb, DIR/usr/share/doc/... or DIR/SOURCE/."""
    if not folder.is_dir():
        raise TechError(f"{folder} is no folder")
    packages = [(path, deb.identity(path)[0]) for path in sorted(folder.glob("*.deb"))]
    for path, name in packages:
        if not any(source.matches_package(name) for source in sources):
            say(f"{path.name} holds {name}, which is not asked for: left alone")
    places = []
    for source in sources:
        own = [path for path, name in packages if source.matches_package(name)]
        own += _unpacked(source, folder)
        if len(own) != 1:
            told = f"{len(own)} times, as {' and '.join(map(str, own))}" if own else "nowhere"
            raise TechError(f"{folder} must hold {source.name} once, but has it {told}. "
                            f"Looked for: {_expected(source)}. --sources names the sources to read, "
                            f"--without-apt says where their pages come from")
        places.append(own[0])
    for source, place in zip(sources, places):
        yield _tree(source, place) if place.is_dir() else _package(source, place)


def _expected(source):
    package = f"a .deb of {source.package}, {source.folder}/ as `dpkg -x` leaves it, or " if source.package else ""
    return f"{package}a folder {source.name}/ with its pages, such as {source.name}/{source.example}"


def _package(source, path):
    name, version = deb.identity(path)
    digest = deb.sha256(path)
    expected = KNOWN_PACKAGES.get((name, version), digest)
    if digest != expected:
        raise TechError(f"{path.name} is not the {name} {version} that is known: its sha256 is {digest}, "
                        f"not {expected}. Somebody changed it, or it is damaged: remove it and fetch it again")
    inside = re.compile(f"{source.folder}/")

    def wanted(file):
        folder = inside.match(file)
        return folder is not None and source.wanted(file[folder.end():]) is not None

    files = deb.files(path, wanted)
    folders = {inside.match(file).group() for file in files}
    if len(folders) > 1:
        raise TechError(f"{path.name} holds the pages of {source.name} twice: in {' and '.join(sorted(folders))}")
    pages = [(inside.sub("", file, count=1), data) for file, data in files.items()]
    return Origin(source, name, version, digest, path.stat().st_size, _ordered(source, pages, path))


def _unpacked(source, folder):
    """The folders below `folder` that hold the source's pages.

    Links are second names of other folders, such as Debian's python3.11-doc/html.
    """
    places = [folder / source.name] if (folder / source.name).is_dir() else []
    if source.folder:
        step = [folder]
        for pattern in source.folder.split("/"):
            step = [inner for outer in step for inner in sorted(outer.iterdir())
                    if re.fullmatch(pattern, inner.name) and inner.is_dir() and not inner.is_symlink()]
        places += step
    return places


def _tree(source, root):
    pages = []

    def refuse(error):
        raise TechError(f"cannot read {error.filename}: {error.strerror}")

    for folder, _, names in os.walk(root, onerror=refuse):
        for path in (Path(folder) / name for name in names):
            relative = path.relative_to(root).as_posix()
            if source.wanted(relative) is None or path.is_symlink():
                continue
            try:
                pages.append((relative, path.read_bytes()))
            except OSError as error:
                raise TechError(f"cannot read {path}: {error.strerror}") from error
    return Origin(source, str(root), "", "", 0, _ordered(source, pages, root))


def _ordered(source, pages, place):
    if not pages:
        raise TechError(f"{place} has no page of {source.name}. Looked for: {_expected(source)}")
    # Folder by folder: as a plain text "a-b/c" would come before "a/c".
    return sorted(pages, key=lambda page: (source.wanted(page[0]), page[0].split("/")))
