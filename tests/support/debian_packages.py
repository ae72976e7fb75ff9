# SPDX-License-Identifier: MIT
"""Programs of Debian packages, in a directory of a test's own.

To install them would change the host: spamassassin adds a user, a cron job and a timer,
rspamd starts a daemon, and maildrop has programs with the set-group-ID bit.
"""

import os
import re
import shutil
import subprocess

import pytest

SECONDS = 300       # for each call of apt-get
LIBRARIES = re.compile(r"\.so(\.|$)")


class Unpacked:
    """A package and those that it depends on, but not what is installed.

    root: pathlib.Path, which stands for /
    """

    def __init__(self, root):
        self.root = root

    def find(self, path):
        """Returns the path of a file (str, from /): below root, or the installed one."""
        unpacked = self.root / path.lstrip("/")
        return unpacked if unpacked.exists() else path

    def environment(self, **variables):
        """Returns an environment in which its programs find their libraries and modules."""
        libraries = sorted({str(path.parent) for path in self.root.rglob("*.so*")
                            if LIBRARIES.search(path.name)})
        perl = [str(path) for path in [self.root / "usr/share/perl5",
                                       *self.root.glob("usr/lib/*/perl5/*")] if path.is_dir()]
        return {"PATH": f"{self.root}/usr/bin:{self.root}/usr/sbin:/usr/sbin:/usr/bin:/bin",
                "LD_LIBRARY_PATH": ":".join(libraries), "PERL5LIB": ":".join(perl),
                "LC_ALL": "C", **variables}


def unpacked(package, directory):
    """Downloads a package into a directory (pathlib.Path).  Returns an Unpacked.

    Skips the test if that is impossible.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip(f"needs apt-get, and Debian's {package}")
    plan = apt_get(package, "--simulate", "--no-install-recommends", "install", package)
    missing = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    if missing:
        apt_get(package, "-o", "APT::Sandbox::User=root", "download", *missing, cwd=directory)
    root = directory / "root"
    root.mkdir()
    for archive in directory.glob("*.deb"):
        subprocess.run(["dpkg", "-x", archive, root], check=True, timeout=SECONDS)
    for path in (root / "usr/bin").glob("*"):
        if not path.is_symlink():
            path.chmod(0o755)   # with a set-group-ID bit, LD_LIBRARY_PATH does not count
    return Unpacked(root)


def apt_get(package, *arguments, cwd=None):
    """Returns what apt-get prints (str), or skips the test."""
    process = subprocess.run(["apt-get", "-q", *arguments], cwd=cwd, capture_output=True, text=True,
                             timeout=SECONDS, env={**os.environ, "LC_ALL": "C"})
    if process.returncode:
        pytest.skip(f"needs Debian's {package}, which apt-get can't download here: "
                    + (process.stderr.strip().splitlines() or [""])[-1])
    return process.stdout
