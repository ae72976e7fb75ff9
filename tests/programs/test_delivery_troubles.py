# SPDX-License-Identifier: MIT
"""Deliveries through the installed launcher when something is broken, lacking or full.

qmail-send must see Z, or K and the whole message: never D.
"""

import os
import resource
import shutil
import subprocess
import sys

import pytest

from tests.support import memory, rspawn
from tests.support.deliveries import (      # noqa: F401
    ALWAYS_DEFERRED, ENDS_BADLY, LARGE, garbage_key, host, limited,
)


def truncated_key(host):
    path = host.keys / "example.com" / "default"
    path.write_bytes(path.read_bytes()[:-200])


def key_is_a_directory(host):
    path = host.keys / "example.com" / "default"
    path.unlink()
    path.mkdir()


def key_links_to_itself(host):
    path = host.keys / "example.com" / "default"
    path.unlink()
    path.symlink_to("default")


def key_without_percent_missing(host):
    host.environment["DKSIGN"] = str(host.directory / "no-such-key")


def selector_impossible(host):
    host.environment["DKSIGN"] = str(host.keys / "%" / "a key")
    shutil.copy(host.keys / "example.com" / "default", host.keys / "example.com" / "a key")


def large_message_without_a_place(host):
    host.message.write_bytes(LARGE)
    host.environment["TMPDIR"] = str(host.directory / "no-such-directory")


SIGNING_FAILS = {
    garbage_key: b"private key",
    truncated_key: b"private key",
    key_is_a_directory: b"is not a file",
    key_links_to_itself: b"too many links",
    key_without_percent_missing: b"does not exist",
    selector_impossible: b"selector",
    large_message_without_a_place: b"no place",
}


def test_a_bad_directory_for_large_messages_concerns_no_small_one(host):
    host.environment["TMPDIR"] = "tmp"
    assert host.deliver().verdict == "K" and host.sent_signed()
    host.message.write_bytes(LARGE)
    assert b"TMPDIR: 'tmp' is not an absolute path" in host.deliver().text
    host.environment["DKSIGN"] = f"{host.directory}/no-keys/%/default"
    assert host.deliver().verdict == "K" and host.sent == LARGE


@pytest.mark.parametrize("breaks", SIGNING_FAILS, ids=lambda f: f.__name__)
def test_signing_fails(host, breaks):
    breaks(host)
    result = host.deliver()
    assert result.verdict == "Z" and host.sent is None
    assert SIGNING_FAILS[breaks] in result.text

    host.environment["DKONERROR"] = "unsigned"
    assert host.deliver().verdict == "K"
    assert host.sent == host.message.read_bytes()


@pytest.mark.parametrize("breaks", ALWAYS_DEFERRED, ids=lambda f: f.__name__)
def test_always_deferred(host, breaks):
    breaks(host)
    if os.path.isdir(host.message):
        fd = os.open(host.message, os.O_RDONLY)
        process = subprocess.run([host.launcher, "h", "s", "r"], stdin=fd, capture_output=True,
                                 env=host.environment)
        os.close(fd)
        result = rspawn.verdict(rspawn.wait_status(process.returncode), process.stdout)
    else:
        result = host.deliver()
    assert result.verdict == "Z" and host.sent is None
    assert ALWAYS_DEFERRED[breaks] in result.text


@pytest.mark.parametrize("commands", ENDS_BADLY)
def test_the_original_ends_badly(host, commands):
    """As when the libraries that it needs are just being replaced; without us it would be D."""
    host.program("original", f"#!/bin/sh\n{commands}\n")
    verdict, begins = ENDS_BADLY[commands]
    result = host.deliver()
    assert result.verdict == verdict and result.text.startswith(begins), result


def test_without_launcher_a_missing_library_is_deferred(host):
    """Under notqmail's QMAILREMOTE the script may be named directly."""
    shutil.copy(rspawn.SCRIPT, host.directory)
    script = host.directory / rspawn.SCRIPT.name
    result = rspawn.deliver([rspawn.PYTHON, "-IS", script], host.message, host.environment)
    assert result.verdict == "Z" and b"No module named 'lib'" in result.text


def test_report_that_cannot_be_written(host):
    host.original.unlink()
    with open("/dev/full", "wb") as full, open(host.message, "rb") as message:
        process = subprocess.run([host.launcher, "h", "s@example.com", "r"], stdin=message,
                                 stdout=full, stderr=full, env=host.environment)
    assert process.returncode == 111


def test_key_that_may_not_be_read(host):
    """Root reads everything, so root's tests use an ordinary user's eyes."""
    python = "/usr/bin/python3"
    if os.getuid() == 0 and not os.path.exists(python):
        pytest.skip("as root this needs /usr/bin/python3")
    key = host.keys / "example.com" / "default"
    key.chmod(0)
    if os.getuid() == 0:
        # An ordinary user can't pass the temporary directory: by descriptors instead.
        program = host.directory / "as_nobody"
        host.program("as_nobody", f"""#!{python}
import os, sys
sys.path.insert(0, {str(rspawn.CHECKOUT)!r})
from lib import errors
from lib.signing import key_files
os.setegid(65534); os.seteuid(65534)
try:
    key_files.read({os.fsencode(key)!r})
except errors.KeyTrouble as trouble:
    print(trouble)
""")
        output = subprocess.run([python, "-I", program], capture_output=True, check=True).stdout
        assert b"Permission denied" in output and b"group qmail" in output
    else:
        result = host.deliver()
        assert result.verdict == "Z" and b"Permission denied" in result.text


# MB that Python does not start in: without a global lock, it sets more aside at its start.
TOO_SMALL = 32 if "t" in sys.abiflags else 8
SOFTLIMIT = b"remedy: softlimit -m 100000000 in the script that starts qmail"


@pytest.mark.parametrize("megabytes", [5, 8, 12, 16, 20, 24, 32, 48, 64])
def test_little_memory(host, megabytes):
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_AS, megabytes << 20))
    assert result.verdict in "KZ"
    assert host.sent_signed() if result.verdict == "K" else host.sent is None
    # Whatever Python made of it.  The kernel kills what does not even fit in at its start;
    # since that may have begun a report, the launcher then only exits with 111.
    killed = megabytes <= TOO_SMALL and result.text == b"Unable to run qmail-remote.\n"
    assert result.verdict == "K" or SOFTLIMIT in result.text or killed


# Headers of a megabyte that take the most memory; with the second, a message is not signed.
LARGE_HEADERS = {"fields": b"a:\n" * 345_000, "CRs": b"a: " + b"x\r" * 500_000 + b"\n"}


@pytest.mark.parametrize("what", LARGE_HEADERS)
def test_the_softlimit_of_our_documents_is_enough(host, what):
    host.message.write_bytes(host.message.read_bytes().replace(
        b"To:", LARGE_HEADERS[what] + b"To:", 1))
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_AS, memory.ADVISED))
    assert result.verdict == "K", result
    assert host.sent.endswith(host.message.read_bytes())
    assert host.sent.startswith(b"DKIM-Signature:") == (what == "fields")


LACKS = {
    "no memory": "raise MemoryError",
    "an exception that was lost": "raise SystemError('error return without exception set')",
    "a library": "raise ImportError('x.so: failed to map segment from shared object')",
    "a library, musl": "raise ImportError('Error loading shared library x.so: Out of memory')",
    "errno": "raise OSError(12, 'Cannot allocate memory')",
}


@pytest.mark.parametrize("lack", LACKS)
def test_lack_of_memory_is_known(host, lack):
    """By what Python and the loader of libraries call it."""
    shutil.copy(rspawn.SCRIPT, host.directory)
    (host.directory / "lib").mkdir()
    (host.directory / "lib" / "__init__.py").write_text(LACKS[lack] + "\n")
    rspawn.install_launcher(host.directory, script=host.directory / rspawn.SCRIPT.name)
    result = host.deliver()
    assert result.verdict == "Z" and SOFTLIMIT in result.text


@pytest.mark.parametrize("files", range(12, 18))    # sh itself needs descriptor 11
def test_few_descriptors(host, files):
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_NOFILE, files))
    assert result.verdict in "KZ"
    assert host.sent_signed() if result.verdict == "K" else host.sent is None


def test_full_disk(host):
    host.message.write_bytes(LARGE)
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_FSIZE, 1 << 20))
    assert result.verdict == "Z" and b"unable to write a copy" in result.text
    assert host.sent is None
