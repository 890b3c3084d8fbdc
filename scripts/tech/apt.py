"""Asks apt for packages. `apt-get download` needs no root, installs nothing, and checks the archive's signature.

It deliberately does not know what is in a package, nor which versions the project has seen before.
"""

import os
import shutil
import subprocess
from pathlib import Path

from errors import TechError

# What a machine's settings may have waived is asked for again: an unsigned package is an error.
SIGNED = ["-o", "APT::Get::AllowUnauthenticated=false"]


def is_there():
    return bool(shutil.which("apt-get") and shutil.which("apt-cache"))


def choose(source):
    """The package to fetch for the source: the one that the counts come from, else what the distribution has."""
    if _run("apt-cache", "show", source.package).returncode == 0:
        return source.package
    if source.metapackage:
        for line in _run("apt-cache", "depends", source.metapackage).stdout.splitlines():
            name = line.split(":", 1)[-1].strip()
            if line.strip().startswith("Depends:") and source.matches_package(name):
                return name
    raise TechError(f"apt has no package {source.package} for the source {source.name}. Run `apt-get update` as root "
                    f"if the lists are empty or old, or leave the source out (--sources), or see --without-apt")


def download(package, folder):
    """Puts the package into the empty folder, and says where."""
    done = _run("apt-get", "download", "--quiet", *SIGNED, package, cwd=folder)
    found = sorted(Path(folder).glob("*.deb"))
    if done.returncode != 0 or len(found) != 1:
        said = (done.stderr.strip() or done.stdout.strip() or "no package came").splitlines()
        raise TechError(f"apt-get download {package} failed: {said[-1]} (old lists? `apt-get update` as root renews "
                        f"them)")
    return found[0]


def _run(*command, cwd=None):
    # In the C locale, because the output is read.
    return subprocess.run(command, cwd=cwd, env={**os.environ, "LC_ALL": "C"}, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
