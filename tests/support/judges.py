# SPDX-License-Identifier: MIT
"""Independent verifiers: dkimpy, Mail::DKIM and OpenDKIM.

Each takes a message as it came over SMTP (bytes, CR LF) and the DNS as a dict of
TXT records {name without final dot: text}, and returns a list of Verdicts, one for
each signature that it knows, from top to bottom.  If a verifier is not installed,
it skips the test.
"""

import ctypes
import json
import os
import subprocess
import tempfile
from collections import namedtuple

import pytest

PERL_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "perl",
                           "verify.pl")

# protocol: "dkim" or "domainkeys"; domain: d=; selector: s=; algorithm: a=
# result: "pass", "fail", or "unsupported" if the verifier does not know the
# algorithm; detail: the verifier's own words
Verdict = namedtuple("Verdict", "protocol domain selector algorithm result detail")


def verdicts(message, records):
    """Returns the Verdicts of all installed verifiers, {verifier's name: list}.

    Skips the test if none is installed.
    """
    found = {}
    for judge in ALL:
        try:
            found[judge.__name__] = judge(message, records)
        except pytest.skip.Exception:
            continue
    if not found:
        pytest.skip("no verifier is installed: dkimpy, libmail-dkim-perl, libopendkim11")
    return found


def dkimpy(message, records):
    """Verifies DKIM with dkimpy, which knows Ed25519 only if PyNaCl is installed."""
    dkim = pytest.importorskip("dkim", reason="needs the Python package dkimpy")

    def txt(name, timeout=5):
        text = records.get(name.decode().rstrip("."))
        return None if text is None else text.encode()

    verifier = dkim.DKIM(message)
    found = []
    for index, value in enumerate(value for name, value in verifier.headers
                                  if name.lower() == b"dkim-signature"):
        tags = dkim.util.parse_tag_value(value)
        algorithm = tags[b"a"].decode()
        detail = ""
        try:
            result = "pass" if verifier.verify(index, dnsfunc=txt) else "fail"
        except dkim.DKIMException as error:
            result, detail = "fail", str(error)
        except dkim.UnparsableKeyError as error:
            result, detail = "fail", str(error)
        if algorithm.startswith("ed25519") and not has_nacl():
            result, detail = "unsupported", "no PyNaCl"
        found.append(Verdict("dkim", tags[b"d"].decode(), tags[b"s"].decode(), algorithm,
                             result, detail))
    return found


def has_nacl():
    try:
        import nacl.signing     # noqa: F401
    except ImportError:
        return False
    return True


def mail_dkim(message, records):
    """Verifies DKIM and DomainKeys with Perl's Mail::DKIM; its resolver only knows records."""
    try:
        probe = subprocess.run(["perl", "-MMail::DKIM::Verifier", "-MJSON::PP", "-e1"],
                               stderr=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        probe = 1
    if probe:
        pytest.skip("needs the Debian package libmail-dkim-perl")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(records, file)
        file.flush()
        output = subprocess.run(["perl", PERL_SCRIPT, file.name], input=message, check=True,
                                stdout=subprocess.PIPE).stdout
    return [Verdict(*verdict) for verdict in json.loads(output)]


# dkim.h
SET, FLAGS, QUERY_METHOD, QUERY_INFO, QUERY_FILE = 1, 0, 6, 7, 1
STAT_OK, STAT_NOSIG = 0, 2
SIGFLAG_PASSED, SIGBH_MATCH = 0x04, 0
SIGN_ALGORITHM = {0: "rsa-sha1", 1: "rsa-sha256", 2: "ed25519-sha256"}


def opendkim(message, records):
    """Verifies DKIM with libopendkim: its program opendkim-testmsg needs the DNS."""
    library = libopendkim()
    handle = ctypes.c_void_p(library.dkim_init(None, None))
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as file:
        file.writelines(f"{name} {text}\n" for name, text in records.items())
        file.flush()
        method = ctypes.c_int(QUERY_FILE)
        library.dkim_options(handle, SET, QUERY_METHOD, ctypes.byref(method),
                             ctypes.sizeof(method))
        path = ctypes.create_string_buffer(file.name.encode())
        library.dkim_options(handle, SET, QUERY_INFO, path, len(file.name))
        status = ctypes.c_int(-1)
        session = ctypes.c_void_p(library.dkim_verify(handle, b"message", None,
                                                      ctypes.byref(status)))
        try:
            return opendkim_verdicts(library, session, message)
        finally:
            library.dkim_free(session)
            library.dkim_close(handle)


def libopendkim():
    try:
        library = ctypes.CDLL("libopendkim.so.11")
    except OSError:
        pytest.skip("needs the Debian package libopendkim11 (with opendkim-tools)")
    library.dkim_init.restype = ctypes.c_void_p
    library.dkim_verify.restype = ctypes.c_void_p
    for name in ("dkim_geterror", "dkim_sig_geterrorstr", "dkim_sig_getdomain",
                 "dkim_sig_getselector"):
        getattr(library, name).restype = ctypes.c_char_p
    return library


def opendkim_verdicts(library, session, message):
    """Returns the Verdicts of one dkim_verify() session."""
    for data in (message, None):
        status = library.dkim_chunk(session, data, ctypes.c_size_t(len(data or b"")))
        if status == STAT_NOSIG:
            return []
        if status != STAT_OK:
            return [refused(library, session)]
    outcome = library.dkim_eom(session, None)
    signatures = ctypes.POINTER(ctypes.c_void_p)()
    count = ctypes.c_int(0)
    library.dkim_getsiglist(session, ctypes.byref(signatures), ctypes.byref(count))
    found = []
    for number in range(count.value):
        signature = ctypes.c_void_p(signatures[number])
        library.dkim_sig_process(session, signature)
        passed = (library.dkim_sig_getflags(signature) & SIGFLAG_PASSED
                  and library.dkim_sig_getbh(signature) == SIGBH_MATCH)
        algorithm = ctypes.c_int(-1)
        library.dkim_sig_getsignalg(signature, ctypes.byref(algorithm))
        detail = library.dkim_sig_geterrorstr(library.dkim_sig_geterror(signature)) or b""
        found.append(Verdict(
            "dkim", library.dkim_sig_getdomain(signature).decode(),
            library.dkim_sig_getselector(signature).decode(),
            SIGN_ALGORITHM.get(algorithm.value, "?"), "pass" if passed else "fail",
            detail.decode()))
    if not found and outcome not in (STAT_OK, STAT_NOSIG):
        return [refused(library, session)]
    return found


def refused(library, session):
    """Returns the Verdict on a text that libopendkim does not accept as a message."""
    reason = library.dkim_geterror(session) or b"not a message"
    return Verdict("dkim", "", "", "", "fail", reason.decode())


ALL = (dkimpy, mail_dkim, opendkim)
