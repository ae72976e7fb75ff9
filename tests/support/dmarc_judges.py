# SPDX-License-Identifier: MIT
"""Independent evaluators of DMARC: mailauth, which follows RFC 9989, and libopendmarc.

Each is a context manager that gives a function, which takes a dmarc.Case and returns
(status, policy of a failure, set of what is aligned).  If it is not installed, it
skips the test.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest

from tests.support.author_readers import Missing, Process
from tests.support.dmarc import Zone
from tests.support.dns_server import DnsServer

NODE_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "node",
                           "dmarc.js")
# Where tests/run lets npm put it; NODE_PATH may name another place.
MODULES = os.path.join(sys.prefix, "node_modules")


@contextlib.contextmanager
def mailauth():
    if not shutil.which("node"):
        pytest.skip("needs node, and the npm package mailauth")
    path = os.pathsep.join(filter(None, (os.environ.get("NODE_PATH"), MODULES)))
    process = Process(["node", NODE_SCRIPT], "the npm package mailauth",
                      env={**os.environ, "NODE_PATH": path}, stderr=subprocess.DEVNULL)

    def evaluate(case):
        zone = Zone(case.zone, case.exists)
        process.ask(json.dumps({
            "author": case.author, "dkim": case.dkim.split(), "spf": case.spf.split(),
            "texts": {name: in_json(value) for name, value in zone.texts.items()},
            "names": zone.names}).encode())
        status, policy, aligned = json.loads(process.answer())
        return status, policy, set(aligned)
    try:
        yield evaluate
    except Missing as missing:
        pytest.skip(f"needs {missing}")
    finally:
        process.end()


def in_json(value):
    """Returns what a zone has at a name as the script takes it: a list of texts, or a code."""
    if isinstance(value, str):
        return "E" + value if value.isupper() else ["v=DMARC1; " + value]
    return [text.decode("latin-1") if isinstance(text, bytes) else text for text in value]


# dmarc.h
PASS, FROM_MAIL = 1, 1
WORDS = {14: "absent", 16: "reject", 17: "quarantine", 18: "none"}
PASSED, NO_RECORD, TEMPORARY, ALIGNED = 15, 9, 11, 4
MALFORMED = (4, 5)
SUFFIXES = "/usr/share/publicsuffix/public_suffix_list.dat"


class Settings(ctypes.Structure):
    """OPENDMARC_LIB_T of dmarc.h, with Linux's MAXPATHLEN and MAXNS."""

    _fields_ = [("suffix_type", ctypes.c_int), ("suffixes", ctypes.c_char * 4096),
                ("servers", ctypes.c_int), ("addresses", ctypes.c_char * 16 * 3)]


@contextlib.contextmanager
def libopendmarc():
    """It follows RFC 7489: it asks for two names, and has a list of public suffixes."""
    try:
        library = ctypes.CDLL("libopendmarc.so.2")
    except OSError:
        pytest.skip("needs the Debian package libopendmarc2 (with opendmarc)")
    if not os.path.exists(SUFFIXES):
        pytest.skip("needs the Debian package publicsuffix")
    library.opendmarc_policy_connect_init.restype = ctypes.c_void_p
    with DnsServer({}) as server:
        settings = Settings(1, SUFFIXES.encode(), 1)
        settings.addresses[0].raw = struct.pack(
            "=H2s4s8x", socket.AF_INET, server.port.to_bytes(2, "big"),
            socket.inet_aton(server.host))
        assert library.opendmarc_policy_library_init(ctypes.byref(settings)) == 0

        def evaluate(case):
            server.zone = {name: in_dns(value) for name, value in
                           Zone(case.zone, case.exists).texts.items()}
            return by_library(library, case)
        yield evaluate
        library.opendmarc_policy_library_shutdown(ctypes.byref(settings))


def in_dns(value):
    """Returns what a zone has at a name as dns_server takes it."""
    if isinstance(value, str):
        return {"rcode": value} if value.isupper() else ["v=DMARC1; " + value]
    return value


def by_library(library, case):
    """Returns libopendmarc's answer for a Case, which has one signature at most."""
    context = ctypes.c_void_p(library.opendmarc_policy_connect_init(b"192.0.2.1", 4))
    try:
        library.opendmarc_policy_store_from_domain(context, case.author.encode())
        for domain in case.dkim.split():
            library.opendmarc_policy_store_dkim(context, domain.encode(), b"s", PASS, None)
        if case.spf:
            library.opendmarc_policy_store_spf(context, case.spf.encode(), PASS, FROM_MAIL, None)
        status = library.opendmarc_policy_query_dmarc(context, case.author.encode())
        if status:
            return {NO_RECORD: "none", TEMPORARY: "temperror"}.get(
                status, "permerror" if status in MALFORMED else str(status)), "", set()
        policy = library.opendmarc_get_policy_to_enforce(context)
        if policy != PASSED:
            return "fail", WORDS[policy], set()
        of_dkim, of_spf = ctypes.c_int(), ctypes.c_int()
        library.opendmarc_policy_fetch_alignment(context, ctypes.byref(of_dkim),
                                                 ctypes.byref(of_spf))
        return "pass", "", {word for word, value in (("dkim", of_dkim), ("spf", of_spf))
                            if value.value == ALIGNED}
    finally:
        library.opendmarc_policy_connect_shutdown(context)
