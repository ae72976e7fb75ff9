# SPDX-License-Identifier: MIT
"""The verifier's launcher in C: compiled by install.sh, or the one in sh in its place."""

import os
import subprocess
import time

import pytest

from tests.support import native, resident
from tests.support.install_driver import directory, host, manifest, packages      # noqa: F401

COMPILERS = ("musl-gcc", "cc", "gcc", "clang")
VERIFY = ("--verify", "--system-packages")
ELF = b"\x7fELF"

needs_compiler = pytest.mark.skipif(not native.COMPILERS, reason="needs a C compiler")


def starts_with(host):
    """Returns the first bytes of the verifier's launcher, which must be there in sh as well."""
    launcher = host.prefix / "bin" / "qmail-dk-verify"
    assert launcher.with_name("qmail-dk-verify.sh").read_bytes().startswith(b"#!/bin/sh\n")
    start = launcher.read_bytes()[:4]
    code, said = host.status()
    assert code == 0 and f"of the verifier in {'C' if start == ELF else 'sh'}" in said
    return start


def queue(host, message, **environment):
    """Returns the exit code of the launcher; the queue program takes the message for a script."""
    envelope, end = os.pipe()
    os.write(end, b"Fjoe@example.com\0Tjane@example.net\0\0")
    os.close(end)
    done = subprocess.run(
        [host.prefix / "bin" / "qmail-dk-verify"], input=message, stdout=envelope,
        stderr=subprocess.PIPE,
        env={**host.environment, "DKSERVER": "-", "DNSCACHEIP": "127.0.0.1", **environment})
    os.close(envelope)
    return done.returncode


def works(host):
    return (queue(host, b"exit 57\n") == queue(host, b"exit 57\n", RELAYCLIENT="") == 57
            and queue(host, b"exit 57\n", DKVERIFY="C") == 31)


@needs_compiler
def test_compiled(host):
    packages()
    said = host.install(*VERIFY)
    assert "Compile the verifier's launcher" in said and "serves instead" not in said
    assert starts_with(host) == ELF and works(host)
    installed = manifest(host.directory)
    host.install("--verify")
    assert manifest(host.directory) == installed
    host.uninstall()
    assert not host.prefix.exists()


@needs_compiler
def test_a_directory_of_its_own_for_temporary_files(host):
    """Root's TMPDIR may be closed to the users who verify, or its path too long for a socket."""
    packages()
    place = host.directory / ("d" * 100)
    place.mkdir(0o700)
    host.environment["TMPDIR"] = str(place)
    assert "serves instead" not in host.install(*VERIFY) and starts_with(host) == ELF


@needs_compiler
def test_no_native(host):
    """It is remembered, until --native."""
    packages()
    for arguments, start in ((VERIFY, ELF), (("--no-native",), b"#!/b"), ((), b"#!/b"),
                             (("--native",), ELF), ((), ELF)):
        host.run(*arguments)
        assert starts_with(host) == start, arguments
        assert works(host)


@needs_compiler
def test_an_upgrade_that_ends_early(host):
    """The launcher in C is not there before the one in sh, which it executes; 0.1 had none."""
    packages()
    host.install(*VERIFY)
    launcher = host.prefix / "bin" / "qmail-dk-verify"
    launcher.with_name("qmail-dk-verify.sh").rename(launcher)
    tools = host.directory / "tools"
    tools.mkdir()
    (tools / "mv").write_text("#!/bin/sh\nfor to; do :; done\n"
                              f"[ $to != {launcher}.sh ] || exit 1\nexec /bin/mv \"$@\"\n")
    (tools / "mv").chmod(0o755)
    host.environment["PATH"] = f"{tools}:{host.environment['PATH']}"
    assert host.run().returncode == 1 and works(host)


# What a compiler does -> what install.sh says.
BAD_COMPILERS = {
    "fails": ("echo 'no stdio.h' >&2; exit 1", "no stdio.h"),
    "makes what does nothing": ("printf '#!/bin/sh\\n' >\"$out\"; chmod 755 \"$out\"",
                                "ended with 0"),
    "makes what crashes": ("printf '#!/bin/sh\\nkill -SEGV $$\\n' >\"$out\"; chmod 755 \"$out\"",
                           "ended with -11"),
    "makes nothing": ("exit 0", "No such file"),
}


@pytest.mark.parametrize("case", BAD_COMPILERS)
def test_a_launcher_that_does_not_pass_the_trial(host, case):
    """One line says so, and the launcher in sh serves."""
    packages()
    script, words = BAD_COMPILERS[case]
    tools = host.directory / "tools"
    tools.mkdir()
    for name in COMPILERS:
        (tools / name).write_text("#!/bin/sh\nfor word; do [ \"$last\" != -o ] || out=$word; "
                                  f"last=$word; done\n{script}\n")
        (tools / name).chmod(0o755)
    host.environment["PATH"] = f"{tools}:{host.environment['PATH']}"
    said = host.install(*VERIFY)
    (line,) = [line for line in said.splitlines() if "serves instead" in line]
    assert words in line
    assert starts_with(host) == b"#!/b" and works(host)


def test_without_a_compiler(host):
    packages()
    tools = host.directory / "tools"
    tools.mkdir()
    for place in reversed(host.environment["PATH"].split(":")):
        for name in os.listdir(place) if os.path.isdir(place) else ():
            if name not in COMPILERS:
                (tools / name).unlink(missing_ok=True)
                (tools / name).symlink_to(os.path.join(place, name))
    host.environment["PATH"] = str(tools)
    assert "serves instead: there is no C compiler" in host.install(
        *VERIFY, "--python", "/usr/bin/python3")
    assert starts_with(host) == b"#!/b"


@needs_compiler
@pytest.mark.skipif(not os.path.exists("/proc/self/cmdline"), reason="needs /proc")
def test_uninstall_waits_for_one_that_waits_for_a_message(host):
    """It may have to execute the launcher in sh."""
    packages()
    host.install(*VERIFY)
    envelope, end = os.pipe()
    os.write(end, b"Fjoe@example.com\0Tjane@example.net\0\0")
    os.close(end)
    with subprocess.Popen(
            [host.prefix / "bin" / "qmail-dk-verify"], stdin=subprocess.PIPE, stdout=envelope,
            stderr=subprocess.DEVNULL,
            env={**host.environment, "DKVERIFY": "C", "DKSERVER": "/etc/passwd"}) as waits:
        uninstall = host.start("uninstall")
        time.sleep(3)
        assert uninstall.poll() is None and waits.poll() is None
        waits.stdin.write(b"exit 57\n")
        waits.stdin.close()
        assert waits.wait(resident.LONGEST_WAIT) == 31
        assert uninstall.wait(resident.LONGEST_WAIT) == 0
    os.close(envelope)
    assert not host.prefix.exists()
