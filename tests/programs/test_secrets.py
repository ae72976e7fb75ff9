# SPDX-License-Identifier: MIT
"""Private keys stay where they are."""

import base64
import os
import re
import subprocess

import pytest

from lib import crypto
from tests.support import rspawn, signing
from tests.support.deliveries import Host

MARKER = b"TUFSS0VSTUFSS0VSTUFSS0VS"     # within base64
PEM = signing.key("rsa.pem")
DAMAGED = {
    "base64 in PEM": PEM[:600] + MARKER + PEM[600:],
    "text": MARKER + b"\n",
    "a seed too long": base64.b64encode(MARKER * 2),
    "PEM cut off": PEM[:600].replace(PEM[300:324], MARKER),
    "an unknown kind": PEM.replace(b"PRIVATE KEY", MARKER).replace(PEM[300:324], MARKER),
    "8-bit": b"\xff" + MARKER + b"\xff" * 33,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_no_byte_of_a_damaged_key_is_told(tmp_path, kind):
    host = Host(tmp_path)
    (host.keys / "example.com" / "default").write_bytes(DAMAGED[kind])
    result = host.deliver()
    assert result.verdict == "Z"
    command = subprocess.run(
        [rspawn.PYTHON, "-IS", "-X", f"qmail={tmp_path}", rspawn.CHECKOUT / "lib" / "qmail_dk.py",
         "why", "example.com"], env=host.environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    for text in (result.text, command.stdout):
        assert b"example.com/default" in text
        for start in range(len(MARKER) - 8):
            assert MARKER[start:start + 8] not in text


@pytest.mark.parametrize("backend", ["openssl", "package"])
@pytest.mark.parametrize("kind", DAMAGED)
def test_no_exception_has_a_byte_of_a_key(monkeypatch, backend, kind):
    """Nor any that caused it: a traceback would show them all."""
    module = __import__(f"lib.crypto.{backend}", fromlist=["lib"])
    monkeypatch.setattr(crypto, "backend", lambda: module)
    with pytest.raises(crypto.KeyTrouble) as caught:
        crypto.load_private_key(DAMAGED[kind])
    trouble = caught.value
    while trouble is not None:
        assert not re.search(MARKER[:8], repr(trouble).encode())
        trouble = trouble.__cause__ or trouble.__context__


MAKING_A_KEY = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from lib import crypto
key = crypto.generate_private_key("ed25519")
print(ctypes.CDLL(None).prctl(3), flush=True)       # PR_GET_DUMPABLE
"""
DUMPABLE = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from lib.signing import key_files
if sys.argv[2]:
    key_files.key_files(b"example.com", sys.argv[2])
print(ctypes.CDLL(None).prctl(3), flush=True)       # PR_GET_DUMPABLE
if sys.argv[2]:
    os.execv(sys.executable, [sys.executable, "-c", sys.stdin.read(), sys.argv[1], ""])
"""


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="prctl is Linux's")
def test_no_core_dump_has_a_key(tmp_path):
    """Off from the moment that a key is read, until the original is run."""
    signer = signing.Signer(tmp_path)
    output = subprocess.run([rspawn.PYTHON, "-c", DUMPABLE, rspawn.CHECKOUT,
                             signer.environment["DKSIGN"]], input=DUMPABLE.encode(),
                            stdout=subprocess.PIPE, check=True).stdout
    assert output.split() == [b"0", b"1"]


AGAIN = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from lib import c_library
from lib.signing import key_files
prctl = ctypes.CDLL(None).prctl
if sys.argv[3] == "fails":
    class NoMemory(c_library.Library):
        def __init__(self, name):
            c_library.Library = self.__class__.__base__
            raise OSError("no memory")
    c_library.Library = NoMemory
key_files.key_files(b"example.com", sys.argv[2])
print(prctl(3), flush=True)     # PR_GET_DUMPABLE
prctl(4, 1)                     # PR_SET_DUMPABLE, as a change of user does by fs.suid_dumpable
key_files.key_files(b"example.com", sys.argv[2])
print(prctl(3), flush=True)
"""


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="prctl is Linux's")
@pytest.mark.parametrize("first, before", [("works", b"0"), ("fails", b"1")])
def test_a_process_that_reads_a_key_again_is_made_private_again(tmp_path, first, before):
    signer = signing.Signer(tmp_path)
    output = subprocess.check_output([rspawn.PYTHON, "-c", AGAIN, rspawn.CHECKOUT,
                                      signer.environment["DKSIGN"], first])
    assert output.split() == [before, b"0"]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="prctl is Linux's")
def test_no_core_dump_has_a_new_key():
    assert subprocess.check_output([rspawn.PYTHON, "-c", MAKING_A_KEY, rspawn.CHECKOUT]) == b"0\n"
