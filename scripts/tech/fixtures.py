"""Packages that the tests build on the spot, with a page in each.

It deliberately does not use the code under test, so an error there cannot hide here.
"""

import gzip
import io
import random
import tarfile


def ar(members):
    """An ar archive of (name, bytes)."""
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}".encode() + b"`\n" + data
        out += b"\n" * (len(data) % 2)
    return out


def tar(files, compression="xz", links=()):
    """A tar archive of {name: bytes} and of (name, target) as symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return out.getvalue()


def deb(package, version, files, compression="xz", links=()):
    control = f"Package: {package}\nVersion: {version}\nArchitecture: all\nDescription: pages\n of a test\n".encode()
    end = f".{compression}" if compression else ""
    return ar([("debian-binary", b"2.0\n"), (f"control.tar{end}", tar({"./control": control}, compression)),
               (f"data.tar{end}", tar(files, compression, links))])


NOUNS = ("anchor bay boat bow bridge buoy cabin canal captain chain chart coast compass crane crew current deck dock "
         "ferry flag fog gale harbor hatch helm hull island keel lantern log mast mate mole net oar pilot pier port "
         "quay reef rope rudder sail shoal shore sluice star stern storm strait tide tiller tower wake watch wave "
         "wharf winch wind").split()


def prose(subject):
    """A page's worth of paragraphs (over 60 words).

    Every run of five words has a noun that is drawn for this subject alone, so no two pages repeat each other.
    """
    draw = random.Random(subject)
    sentence = ("The {} is at the {} until the {} of its {} is on the {}, and the {} of that {} will then be in the "
                "{} of the {} for as long as the {} does.")
    return [" ".join(sentence.format(*draw.sample(NOUNS, 10)) for _ in range(2)) for _ in range(2)]


def html(subject):
    body = "".join(f"<p>{text}</p>" for text in prose(subject))
    return f"<html><body><main><h1>{subject}</h1>{body}</main></body></html>".encode()


def markdown(subject):
    return ("\n\n".join([f"# {subject}", *prose(subject)]) + "\n").encode()


# A file of every source, where the package has it.
PAGES = {
    "rust": ("usr/share/doc/rust-doc/html/book/ch01-00-loops.html", html("loop")),
    "postgresql": ("usr/share/doc/postgresql-doc-15/html/vacuum.html", html("vacuum")),
    "sqlite": ("usr/share/doc/sqlite3/c3ref/pager.html", html("pager")),
    "python": ("usr/share/doc/python3.11/html/library/queue.html", html("queue")),
    "docker": ("usr/share/doc/docker-doc/reference/commandline/daemon.md.gz",
               gzip.compress(markdown("daemon"), mtime=0)),
    "nova": ("usr/share/doc/nova-doc/html/admin/scheduler.html", html("scheduler")),
}
PACKAGES = {
    "rust": ("rust-doc", "1.0"), "postgresql": ("postgresql-doc-15", "15.0"), "sqlite": ("sqlite3-doc", "3.0"),
    "python": ("python3.11-doc", "3.11"), "docker": ("docker-doc", "20.0"), "nova": ("nova-doc", "2:26.0"),
}


def packages():
    """{source: the bytes of a package with one page}."""
    return {source: deb(*PACKAGES[source], {"./" + path: data}) for source, (path, data) in PAGES.items()}
