"""The table of sources: which package a source comes from, which of its pages are read, and under which licence.

It deliberately does not know how a package is fetched, unpacked or parsed. Folders and packages are patterns, because
their names carry version numbers.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    name: str
    # What apt is asked for first; the sums and counts below belong to it.
    package: str
    # What the name of the package looks like in any release.
    package_pattern: str
    # A package that depends on the present release's documentation, for distributions that lack `package`.
    metapackage: str
    # Where the pages lie in the package. Whoever has no package puts these folders under the source's name.
    folder: str
    # What an id calls a page that lies directly in `folder`.
    label: str
    # A page that every release has, for messages.
    example: str
    # Which pages are read, as patterns on the path below `folder`. Their order is the order of the corpus.
    take: tuple
    # The beginnings of file names that are left out: lists, indexes, release notes, pages about the project.
    leave_out: str
    licence: str
    holder: str
    home: str
    # Where the text of the licence is to be read.
    terms: str
    # Where the same pages come from without apt.
    upstream: str
    # Optional sources are read only if they are asked for by name.
    optional: bool = False

    def matches_package(self, name):
        return bool(self.package_pattern) and re.fullmatch(self.package_pattern, name) is not None

    def wanted(self, path):
        """The rank of the first pattern that takes the page, or None. `path` is relative to the source's folder."""
        if re.match(self.leave_out, path.rsplit("/", 1)[-1]):
            return None
        return next((rank for rank, pattern in enumerate(self.take) if re.fullmatch(pattern, path)), None)


PYTHON_PARTS = "tutorial howto faq reference library using extending installing c-api".split()
NOVA_PARTS = "admin user reference contributor".split()
KUBERNETES_PARTS = "concepts tasks tutorials".split()
DOC = r"usr/share/doc/"

SOURCES = (
    Source(
        name="rust", package="rust-doc", package_pattern="rust-doc", metapackage="",
        folder=DOC + r"rust-doc/html/book", label="book", example="ch04-01-what-is-ownership.html",
        take=(r"ch[0-2][0-9]-[^/]*\.html", r"appendix-[^/]*\.html"),
        leave_out=r"appendix-(01|02)",
        licence="MIT or Apache-2.0", holder="The Rust Project Developers",
        home="https://doc.rust-lang.org/book/", terms="https://github.com/rust-lang/book (LICENSE-MIT, LICENSE-APACHE)",
        upstream='the book that the toolchain brings: "$(rustc --print sysroot)/share/doc/rust/html/book" '
                 "(rustup component add rust-docs)"),
    Source(
        name="postgresql", package="postgresql-doc-15", package_pattern=r"postgresql-doc-\d+",
        metapackage="postgresql-doc",
        folder=DOC + r"postgresql-doc-\d+/html", label="html", example="sql-select.html",
        take=(r"[^/]*\.html",),
        leave_out=r"release|bookindex|biblio|legalnotice|errcodes|features|unsupported-|sql-keywords|acronyms|"
                  r"external-|docguide|sourcerepo|git|index\.|color|contrib-",
        licence="PostgreSQL",
        holder="PostgreSQL Global Development Group; The Regents of the University of California",
        home="https://www.postgresql.org/docs/", terms="https://www.postgresql.org/about/licence/",
        upstream="doc/src/sgml/html of the release's source archive, from https://www.postgresql.org/ftp/source/"),
    Source(
        name="sqlite", package="sqlite3-doc", package_pattern="sqlite3-doc", metapackage="",
        folder=DOC + r"sqlite3", label="sqlite3", example="lang_select.html",
        take=(r"[^/]*\.html", r"c3ref/[^/]*\.html"),
        leave_out=r"changes|chronology|news|oldnews|doc_|doclist|keyword_index|sitemap|requirements|"
                  r"copyright-release|consortium_agreement|crew|famous|books|capi3ref|34to35|pressrelease|cves|support|"
                  r"prosupport|hp1|privatebranch|getthecode|download|vtablist|speed\.|footprint|index\.|code",
        licence="public domain", holder="the authors of SQLite, who dedicate it to the public domain",
        home="https://www.sqlite.org/docs.html", terms="https://www.sqlite.org/copyright.html",
        upstream="the documentation archive sqlite-doc-*.zip from https://www.sqlite.org/download.html"),
    Source(
        name="python", package="python3.11-doc", package_pattern=r"python3\.\d+-doc", metapackage="python3-doc",
        folder=DOC + r"python3\.\d+/html", label="html", example="tutorial/classes.html",
        take=tuple(part + r"/[^/]*\.html" for part in PYTHON_PARTS),
        leave_out=r"index\.|stable\.|distutils",
        licence="PSF-2.0 (examples also 0BSD)", holder="Python Software Foundation",
        home="https://docs.python.org/3/", terms="https://docs.python.org/3/license.html",
        upstream="the HTML archive from https://docs.python.org/3.11/download.html"),
    Source(
        name="docker", package="docker-doc", package_pattern="docker-doc", metapackage="",
        folder=DOC + r"docker-doc", label="docker-doc", example="reference/builder.md",
        take=(r"reference/(.*/)?[^/]*\.md(\.gz)?", r"extend/[^/]*\.md(\.gz)?", r"[^/]*\.md(\.gz)?"),
        leave_out=r"README|deprecated",
        licence="Apache-2.0", holder="Docker, Inc.",
        home="https://docs.docker.com/", terms="https://www.apache.org/licenses/LICENSE-2.0",
        upstream="the folder docs of https://github.com/docker/cli at the tag v20.10.24"),
    Source(
        name="nova", package="nova-doc", package_pattern="nova-doc", metapackage="",
        folder=DOC + r"nova-doc/html", label="html", example="admin/cells.html",
        take=tuple(part + r"/(.*/)?[^/]*\.html" for part in NOVA_PARTS),
        leave_out=r"index\.|releases|ptl-guide|testing|how-to-get-involved|code-review|process|blueprints",
        licence="CC-BY-3.0 (say the pages; the package says Apache-2.0)",
        holder="OpenStack Foundation and contributors",
        home="https://docs.openstack.org/nova/", terms="https://creativecommons.org/licenses/by/3.0/",
        upstream="doc/build/html after `tox -e docs` in https://opendev.org/openstack/nova at the tag 26.2.2"),
    Source(
        name="kubernetes", package="", package_pattern="", metapackage="",
        folder="", label="docs", example="concepts/overview/components.md",
        take=tuple(part + r"/(.*/)?[^/]*\.md" for part in KUBERNETES_PARTS),
        leave_out=r"_index|example-",
        licence="CC-BY-4.0", holder="The Kubernetes Authors",
        home="https://kubernetes.io/docs/", terms="https://creativecommons.org/licenses/by/4.0/",
        upstream="content/en/docs of https://github.com/kubernetes/website", optional=True),
)

# The packages of Debian 12 that the counts in docs/tech.md come from: (package, version) and the sha256 of the .deb.
KNOWN_PACKAGES = {
    ("rust-doc", "1.63.0+dfsg1-2"): "96ef96fe6df87d939ca713bd7df3d15c2b778ccb892eca025c4ee504146f697b",
    ("postgresql-doc-15", "15.20-0+deb12u1"): "4c44bf2c599f208b3f46454a6cf7a72e25ec46ff74d37b59dd31ad76b00eebb7",
    ("sqlite3-doc", "3.40.1-2+deb12u2"): "466e30d7066e2641fa13e56bc662a2ad521b8cc9c17dde9c9dac3d4f105e32f2",
    ("python3.11-doc", "3.11.2-6+deb12u9"): "5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be",
    ("docker-doc", "20.10.24+dfsg1-1+deb12u1"): "b665c4be8746a496c8f561d42ff8026fbed2ee6581e53fa63df40656a9d80eeb",
    ("nova-doc", "2:26.2.2-1~deb12u5"): "47c62c5169b1fb3fce016b766f8d26d34b2f66fab796e4b31d7b3b907680e510",
}

# The sha256 of the corpus that exactly these packages give, by --max-words.
KNOWN_CORPORA = {
    None: "4c2e37e51994d9d0dc662264574e88d07a90be3eeaf4afeff74947c25af5728c",
    110_000: "5cee769c22462bc7c63416f8d429c3bfec6ab8549b60c52acb77c27dec61ca4e",
}


def select(names):
    """The sources with these names, or all that are not optional, always in the order of the table."""
    if names is None:
        return [source for source in SOURCES if not source.optional]
    known = [source.name for source in SOURCES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no source is called {unknown[0]!r}; there are {', '.join(known)}")
    return [source for source in SOURCES if source.name in names]
