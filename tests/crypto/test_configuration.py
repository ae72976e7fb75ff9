# SPDX-License-Identifier: MIT
"""OpenSSL whose configuration gives it no algorithms, and the libcrypto that Python has loaded."""

import os
import subprocess
import sys

import pytest

from lib.crypto import openssl
from tests.support import administrator, signing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NO_PROVIDER = "openssl_conf = a\n[a]\nproviders = b\n[b]\nnone = c\n[c]\nactivate = 1\n"


@pytest.fixture
def broken(tmp_path):
    """The environment of a program whose OpenSSL is told to load a provider that is not there."""
    if openssl.libcrypto.OpenSSL_version(0).startswith((b"OpenSSL 1", b"LibreSSL", b"AWS-LC")):
        pytest.skip("needs an OpenSSL with providers")
    (tmp_path / "openssl.cnf").write_text(NO_PROVIDER)
    return {**os.environ, "OPENSSL_CONF": str(tmp_path / "openssl.cnf")}


def run(code, environment, *arguments):
    """Runs Python code as the launchers do.  Returns the subprocess.CompletedProcess."""
    return subprocess.run(
        [sys.executable, "-IS", "-c", "import sys; sys.path.insert(0, sys.argv[1])\n" + code, ROOT,
         *arguments], env=environment, capture_output=True, text=True)


WORK = {
    "RSA": "crypto.load_private_key(RSA).sign('sha256', bytes(32))",
    "Ed25519": "crypto.load_private_key(ED25519)",
    "damaged": "crypto.load_private_key(b'-----BEGIN PRIVATE KEY-----')",
    "made": "crypto.generate_private_key('rsa', 2048)",
    "verified": "crypto.ed25519_verifies(bytes(32), bytes(64), bytes(32))",
}


@pytest.mark.parametrize("what", WORK)
def test_the_configuration_is_blamed_and_no_key(broken, what):
    done = run("from lib import crypto, errors\n"
               f"RSA, ED25519 = {signing.key('rsa.pem')}, {signing.key('ed25519.pem')}\n"
               f"try:\n    {WORK[what]}\n"
               "except errors.CryptoTrouble as trouble:\n    print(trouble)", broken)
    assert f"missing: {broken['OPENSSL_CONF']}; remedy:" in done.stdout, done


# What the programs have done before they use hashes of large messages.
STARTS = {
    "one delivery": "crypto.hash_functions(False)",
    "resident signer": "from lib.rspawn import worker_main; worker_main.check()",
    "resident verifier": "from lib.verifyd import server",
    "verifier": "from lib.verifying import inbound, examination, dkimpy",
    "qmail-dk": "from lib import qmail_dk; qmail_dk.parser()",
}


@pytest.mark.parametrize("program", STARTS)
def test_no_program_crashes(broken, program):
    """As importing hashlib does after libcrypto is bound: tried first, or this shows nothing."""
    late = "; crypto.backend(); import hashlib; print('alive')"
    if run("from lib import crypto" + late, broken).stdout:
        pytest.skip("this Python has a text for each error of OpenSSL")
    later = "" if program == "one delivery" else late
    done = run(f"from lib import crypto; {STARTS[program]}" + later, broken)
    assert (done.returncode, done.stdout) == (0, "alive\n" if later else ""), done


def test_check_says_so(broken, tmp_path):
    admin = administrator.Administrator(tmp_path)
    admin.keygen()
    admin.environment["OPENSSL_CONF"] = broken["OPENSSL_CONF"]
    done = admin.run("check", administrator.DOMAIN)
    assert "known to be good" in done.stdout and "Traceback" not in done.stderr, done


def loaded(code):
    """Returns the paths of all libcryptos in a process that has run code, and its output."""
    done = run(code + "\nfor line in open('/proc/self/maps'):\n"
               "    if 'libcrypto' in line: print(line.split()[-1])", os.environ)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux's /proc")
@pytest.mark.parametrize("names", ["openssl.SONAMES", "('libcrypto.of-no-system',)"])
def test_pythons_own_libcrypto_is_bound(names):
    """Whatever it is called: only that one is in the process."""
    own = loaded("import hashlib")
    if not own:
        pytest.skip("this Python has libcrypto built in, or none")
    key = signing.key("rsa.pem")
    bound = loaded(
        "import hashlib, sys, types\n"
        "from lib import c_library\n"
        "class Library(c_library.Library):\n"
        "    def __init__(self, name):\n"
        "        if 'of-no-system' in name: raise OSError\n"
        "        super().__init__(name)\n"
        "from lib.crypto import openssl\n"
        f"openssl.SONAMES, openssl.Library = {names}, Library\n"
        "openssl.libcrypto = openssl.bind()\n"
        f"assert openssl.key_from_pem({key}).sign(bytes(51))")
    assert bound == own
