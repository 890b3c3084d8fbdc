"""Reads a Debian package: an `ar` archive with a control.tar and a data.tar in it.

Nothing is unpacked to disk: the wanted files come back as bytes, so an archive cannot write anywhere. It deliberately
does not know what the files mean. Python reads .gz, .xz and .bz2 itself; dpkg-deb is asked for any other compression
(Ubuntu's packages use .zst).
"""

import contextlib
import hashlib
import io
import posixpath
import shutil
import subprocess
import tarfile
import zlib

from errors import TechError

MAGIC = b"!<arch>\n"
HEADER = 60
# No page of documentation is that long. A forged archive could otherwise fill the memory.
MAX_FILE = 32 << 20
BROKEN = (tarfile.TarError, EOFError, zlib.error, UnicodeError, ValueError)
MODES = {".tar": "r|", ".tar.gz": "r|gz", ".tar.xz": "r|xz", ".tar.bz2": "r|bz2"}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def identity(path):
    """The name and the version that the package gives itself in its control file."""
    with _broken_is_said(path):
        text = _files(path, "control", lambda name: name == "control").get("control", b"").decode("utf-8")
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith(" "))
        if "Package" not in fields or "Version" not in fields:
            raise ValueError("its control file names no package and version")
        return fields["Package"].strip(), fields["Version"].strip()


def files(path, wanted):
    """The regular files of the package for whose path `wanted` is true, as {path: bytes}.

    Paths are relative to the root. Links are left out: they are second names of pages that are read anyway.
    """
    with _broken_is_said(path):
        return _files(path, "data", wanted)


@contextlib.contextmanager
def _broken_is_said(path):
    try:
        yield
    except BROKEN + _lzma_error() as error:
        raise TechError(f"{path} is not a sound Debian package: {error}") from error
    except OSError as error:
        raise TechError(f"cannot read {path}: {error}") from error


def _lzma_error():
    try:
        import lzma
    except ImportError:  # a Python that was built without liblzma; dpkg-deb reads .xz then
        return ()
    return (lzma.LZMAError,)


def _files(path, part, wanted):
    found = {}
    with _tar(path, part) as archive:
        for member in archive:
            name = posixpath.normpath(member.name)
            # Only a broken or a forged package has such names. Reading the rest of it would be trusting it.
            if member.name.startswith("/") or name == ".." or name.startswith("../"):
                raise ValueError(f"the path {member.name!r} leaves the archive")
            if not member.isreg() or not wanted(name):
                continue
            if member.size > MAX_FILE:
                raise ValueError(f"{name} has {member.size} bytes, over the limit of {MAX_FILE}")
            found[name] = archive.extractfile(member).read()
    return found


@contextlib.contextmanager
def _tar(path, part):
    """control.tar or data.tar of the package, whatever its compression, as a stream."""
    members = _ar_members(path)
    if not members or members[0][0] != "debian-binary":
        raise ValueError("its first member is not debian-binary")
    name, start, size = next((member for member in members if member[0].startswith(part + ".tar")), ("", 0, 0))
    if not name:
        raise ValueError(f"it has no {part}.tar")
    mode = MODES.get(name[len(part):])
    if mode == "r|xz" and not _lzma_error():
        mode = None
    if mode:
        with open(path, "rb") as file:
            file.seek(start)
            data = io.BytesIO(file.read(size))
        with tarfile.open(fileobj=data, mode=mode) as archive:
            yield archive
        return
    if not shutil.which("dpkg-deb"):
        raise ValueError(f"this Python cannot unpack {name}, and dpkg-deb is not installed (package dpkg)")
    option = {"control": "--ctrl-tarfile", "data": "--fsys-tarfile"}[part]
    command = ["dpkg-deb", option, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            yield archive
        # Read to the end: a process whose pipe is closed early ends with an error of its own.
        while process.stdout.read(1 << 20):
            pass
    if process.returncode != 0:
        raise ValueError(f"dpkg-deb could not unpack {name}")


def _ar_members(path):
    """(name, offset, size) of every member of an ar archive."""
    members = []
    with open(path, "rb") as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("it is no ar archive")
        at = len(MAGIC)
        while at < end:
            file.seek(at)
            header = file.read(HEADER)
            digits = header[48:58].strip()
            if len(header) < HEADER or header[58:] != b"`\n" or not digits.isdigit():
                raise ValueError(f"the header at byte {at} is damaged")
            start, size = at + HEADER, int(digits)
            if start + size > end:
                raise ValueError(f"it is cut off: a member of {size} bytes begins at byte {start} of {end}")
            members.append((header[:16].decode("ascii").strip().rstrip("/"), start, size))
            at = start + size + size % 2  # members begin at even offsets
    return members
