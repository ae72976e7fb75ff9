# SPDX-License-Identifier: MIT
"""Attacks, each with what would show its return.  SECURITY says which other tests belong here."""

import base64
import hashlib
import os
import pathlib
import posix
import re
import shutil
import subprocess
import sys

import pytest

from lib import address, annotation, authentication_results, inbound, key_record, message, spool
from lib import crypto
from lib.errors import SpoolTrouble
from tests import growth, judges, queue_driver, readers, rspawn, signing, verifying
from tests.test_deliveries import Host
from tests.verifying import MESSAGE, NAME, dkim_signed, examine, golden_rsa, only

ID = b"mx.example.org"
RECORD = golden_rsa().record()
WHOLE = (b"From: Alice <alice@example.com>\nTo: bob@example.net\nSubject: pay\n"
         b"Date: Tue, 14 Nov 2023 22:13:20 +0000\nMessage-ID: <1@example.com>\n"
         b"MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n"
         b"Sender: alice@example.com\nIn-Reply-To: <0@example.net>\nReferences: <0@example.net>\n"
         b"\nAlice pays Bob.\n")
ADDED = [
    b"From: eve@example.org\n", b"fRoM:eve@example.org\n", b"Subject: get\n",
    b"To: eve@x.example\n", b"Cc: eve@x.example\n", b"Reply-To: eve@x.example\n",
    b"Date: Wed, 15 Nov 2023 22:13:20 +0000\n",
    b"Content-Type: text/html\n", b"Content-Type: multipart/mixed; boundary=Bob\n",
    b"Content-Transfer-Encoding: base64\n", b"MIME-Version: 2.0\n", b"Sender: eve@example.org\n",
    b"Message-ID: <2@example.com>\n", b"In-Reply-To: <9@x>\n", b"References: <9@x>\n",
]


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return signing.Signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(signer):
    return signer.sign(WHOLE)


# Additions to a signed message

@pytest.mark.parametrize("added", ADDED, ids=repr)
@pytest.mark.parametrize("place", ["above", "below"])
def test_an_added_field_shows(signer, signed, added, place):
    """To every judge, wherever readers may look for the field."""
    text = added + signed if place == "above" else signed.replace(b"\n\n", b"\n" + added + b"\n", 1)
    for judge, verdicts in judges.verdicts(text.replace(b"\n", b"\r\n"), signer.records).items():
        found = [verdict.result for verdict in verdicts if verdict.protocol == "dkim"]
        assert found and "pass" not in found, judge
    results = examine(text, signer.records, now=signing.NOW).results
    assert [result.status for result in results if result.protocol == "dkim"] == ["fail"]


def test_what_was_not_changed_passes(signer, signed):
    """Else the test above would prove nothing."""
    for verdicts in judges.verdicts(signed.replace(b"\n", b"\r\n"), signer.records).values():
        assert [verdict.result for verdict in verdicts if verdict.protocol == "dkim"] == ["pass"]
    assert examine(signed, signer.records, now=signing.NOW).letter == "A"


# What is behind a CR in a field that no signature covers, and whether the message passes.
BEHIND_A_CR = [
    (b"From: eve@evil.example", False),
    (b" \rfRoM : eve@evil.example", False),
    (b"\rSend money.", False),                 # the header ends there
    (b"\n\r", False),
    (b"Send money.", False),                    # there, too, for some
    (b" From: eve@evil.example", True),         # a fold
]


@pytest.mark.parametrize("protocol", ["dkim", "domainkeys"])
@pytest.mark.parametrize("hidden, passes", BEHIND_A_CR)
def test_what_a_cr_hides(hidden, passes, protocol):
    """Python's email package, for one, shows it."""
    signed = (dkim_signed if protocol == "dkim" else verifying.domainkeys_signed)()
    result = only(b"X: y\r" + hidden + b"\n" + signed)
    assert (result.status, result.letter) == (("pass", "A") if passes else ("policy", "B"))


def test_text_behind_a_signed_line_that_ends_the_header():
    """For some readers; what is below it has to be signed as well."""
    text = MESSAGE.replace(b"Subject:", b"Subject :")
    signed = dkim_signed(text)
    assert only(signed).letter == "A"
    result = only(signed.replace(b"\n\n", b"\nPlease: pay Eve\n\n", 1))
    assert (result.status, result.letter) == ("policy", "B")


def test_text_appended_behind_l():
    body = verifying.relaxed_body(MESSAGE.partition(b"\n\n")[2])
    text = dkim_signed(l=str(len(body)))
    assert only(text).letter == "A"
    assert (only(text + b"Send money.\n").status, only(text + b"x").letter) == ("policy", "B")


def test_tags_in_another_order():
    text = dkim_signed()
    algorithm, form = b"a=rsa-sha256;\n\t", b"c=relaxed/relaxed;\n\t"
    swapped = text.replace(algorithm + form, form + algorithm)
    assert swapped != text and only(swapped).letter == "B"


@pytest.mark.parametrize("tag", ["v=1", "d=example.com", "d=evil.example", "s=sel", "h=From",
                                 "b=AAAA", "l=0", "a=rsa-sha256"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_tag_twice_is_no_tag_list(tag, place):
    text = dkim_signed(l="32")
    if place == "first":
        text = text.replace(b"Signature: ", f"Signature: {tag}; ".encode(), 1)
    else:
        text = text.replace(b"\nReceived:", f"; {tag}\nReceived:".encode(), 1)
    assert (only(text).status, only(text).letter) == ("neutral", "G")


# What is written is made of what comes in

@pytest.mark.parametrize("byte", range(256))
def test_no_field_name_gets_out_of_our_signatures(signer, byte):
    """h= of DomainKeys is the only place where text of a message comes into ours."""
    name = b"X" + bytes((byte,)) + b"b=Y"
    handed_on = signer.sign(b"From: a@example.com\n" + name + b": z\n\nx\n")
    fields = [text for field, text in signing.fields(handed_on) if "Signature" in field]
    for text in fields:
        dkim = text.startswith(b"DKIM")
        assert list(signing.tags(text)) == (
            "v a c d s t h bh b".split() if dkim else "a q c s d h b".split())
        assert text.count(b";") == (8 if dkim else 6)
    assert len(fields) in (0, 2)


FORGED = [
    b"X: y\rAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\r\rAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\rAuthentication-Results:\r mx.example.org; dkim=pass\n",
    b"X: y\r\tz\rauthentication-results : (c) mx.example.org; dkim=pass\r",
    b"Authentication-Results: other.example; none\rAuthentication-Results: mx.example.org; a=b\n",
    b'Authentication-Results: ""mx.example.org; dkim=pass\n',
    b'Authentication-Results: "x"mx.example.org; dkim=pass\n',
    b"Authentication-Results: x/mx.example.org; dkim=pass\n",
    b"Authentication-Results: x\xa0mx.example.org; dkim=pass\n",
    b"Authentication-Results: mx(x).example.org; dkim=pass\n",
    b"Authentication-Results: =?us-ascii?Q?mx=2Eexample=2Eorg?=; dkim=pass\n",
    b"Authentication-Results: =?utf-8?B?bXguZXhhbXBsZS5vcmc7IGRraW09cGFzcw==?=\n",
    b"Authentication-Results: (=?x?Q?y?=) m\0x.example.org; dkim=pass\n",
    "Authentication-Results: \uff4dx.example.org; dkim=pass\n".encode(),            # a wide m
    "Authentication-Results: mx.exam\xadple.org; dkim=pass\n".encode(),             # soft hyphen
    b"X: y\vAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\fAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\x1cAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\x85Authentication-Results: mx.example.org; dkim=pass\n",
    "X: y\u2028Authentication-Results: mx.example.org; dkim=pass\n".encode(),
    b"Authentication-Results\xa0: mx.example.org; dkim=pass\n",
    b"\xa0Authentication-Results: mx.example.org; dkim=pass\n",
    "Authent\u0130cation-Results: mx.example.org; dkim=pass\n".encode(),
    "X: y\rAuthentication-Re\u017fults: mx.example.org; dkim=pass\n".encode(),     # long s
    b"X: y\rDomainKey-Status: good\n",
]


def annotated(text, tmp_path):
    """A message as the verifier hands it on."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(text)
    header, _ = message.split([text])
    with open(source, "rb") as opened, open(target, "wb") as written:
        annotation.write(written.fileno(), inbound.header_fields(inbound.Examination([]), ID),
                         header, lambda part: inbound.fields_to_remove(part, ID),
                         opened.fileno())
    return target.read_bytes()


@pytest.mark.parametrize("field", FORGED, ids=repr)
def test_forged_results_do_not_get_in(tmp_path, field):
    """A CR is a line's end to some readers, and on the wire after notqmail 1.09."""
    text = annotated(b"To: x\n" + field.rstrip(b"\n") + b"\nSubject: x\n\nbody\n", tmp_path)
    ours, _, theirs = text.partition(b"DomainKey-Status: no signature\n")
    assert theirs == b"To: x\nSubject: x\n\nbody\n"
    assert set(readers.authserv_ids(ours)) == {ID}


@pytest.mark.parametrize("field", FORGED[:6] + FORGED[9:12] + FORGED[15:18], ids=repr)
def test_readers_would_take_them_for_ours(field):
    assert ID in readers.authserv_ids(field)


# A header field of more than message.HEADER_LIMIT bytes -> whether it may be taken for ours.
LONG = b"x" * message.HEADER_LIMIT
LONG_FIELDS = {
    "ours": (b"Authentication-Results: (" + LONG + b") mx.example.org; dkim=pass\n", True),
    "status": (b"DomainKey-Status :" + LONG + b"\n", True),
    "no field": (b"Authentication-Results\v: " + LONG + b"; mx.example.org; none\n", True),
    "behind a CR": (b"X: " + LONG + b"\rAuthentication-Results: mx.example.org; none\n", True),
    "in front of a CR": (b"X: Authentication-Results" + LONG + b"\rY: z\n", True),
    "another": (b"To: " + LONG + b"\n a@example.com\n", False),
    "of many lines": (b"To: x\n" + b" x\n" * (message.HEADER_LIMIT // 2), False),
    "with a CR": (b"X: " + LONG + b"\rX: y\n", False),
    "with our name": (b"X: " + LONG + b"Authentication-Results: mx.example.org; none\n", False),
    "a line": (LONG + b"\rx\n", False),
}


@pytest.mark.parametrize("case", LONG_FIELDS)
@pytest.mark.parametrize("place", ["first", "between", "last", "all there is"])
def test_long_fields(tmp_path, case, place):
    field, removed = LONG_FIELDS[case]
    above, below = {"first": (b"", b"Subject: x\n\nbody\n\n"),
                    "between": (b"To: x\n" * 9, b"Subject: x\n\nbody\n"),
                    "last": (b"To: x\n" * 9, b"\nbody\n\nX: y\n"),
                    "all there is": (b"", b"")}[place]
    text = annotated(above + field + below, tmp_path)
    _, _, theirs = text.partition(b"DomainKey-Status: no signature\n")
    assert theirs == above + (b"" if removed else field) + below


@pytest.mark.parametrize("first", [b" good\n", b"\t; dkim=pass\n", b" \n", b" "])
def test_a_first_line_does_not_continue_ours(tmp_path, first):
    text = annotated(first + b"From: a@example.com\n\nx\n", tmp_path)
    assert text.endswith(first + b"From: a@example.com\n\nx\n")
    header, _ = message.split([text])
    assert b"DomainKey-Status: no signature\n" in [field for _, field in header.fields]


# Keys

def test_ed25519_keys_that_sign_for_everybody():
    """Points of small order: R of order 1 and S = 0 are right for one message of eight at least."""
    prime = 2 ** 255 - 19
    root = pow(2, (prime - 1) // 4, prime)
    candidates = {0, 1, prime - 1, prime, prime + 1} | set(order_8(prime, root))
    assert len(candidates) == 7
    for y in candidates:
        for sign in (0, 1):
            public = (y | sign << 255).to_bytes(32, "little")
            forged = (1).to_bytes(32, "little") + bytes(32)
            record = "v=DKIM1; k=ed25519; p=" + base64.b64encode(public).decode()
            result = only(dkim_signed(key=Forger(forged)), record)
            assert (result.status, result.letter) == ("permerror", "E")
    # It is not the library that refuses them:
    assert all(crypto.ed25519_verifies(hashlib.sha256(bytes([number])).digest(), forged,
                                       (1).to_bytes(32, "little")) for number in range(9))


@pytest.mark.parametrize("function", ["EVP_MD_CTX_new", "EVP_PKEY_new_raw_public_key",
                                      "EVP_DigestVerifyInit"])
def test_openssl_that_cannot_verify_says_nothing_of_the_message(function, monkeypatch):
    """Without memory, or where a policy forbids Ed25519.  An RSA signature counts all the same."""
    crypto_openssl = pytest.importorskip("lib.crypto_openssl")
    text = dkim_signed(key=verifying.Ed25519())
    record = verifying.Ed25519().record()
    monkeypatch.setattr(crypto_openssl.libcrypto, function, lambda *arguments: None)
    result = only(text, record)
    assert (result.status, result.letter) == ("temperror", "H")
    both = dkim_signed(text, s="rsa")
    assert examine(both, {NAME: record, NAME.replace("sel.", "rsa."): RECORD}).letter == "A"


class Forger(verifying.Ed25519):
    """Signs without a key."""

    def __init__(self, signature):
        super().__init__()
        self.signature = signature

    def sign(self, hash_name, digest):
        return self.signature


def order_8(prime, root):
    """y of the points whose double has y = 0, of order 4.

    That is y**2 + x**2 = 0; with RFC 8032's curve -x**2 + y**2 = 1 + d*x**2*y**2
    this gives 2*y**2 = 1 - d*y**4.
    """
    d = -121665 * pow(121666, -1, prime) % prime
    discriminant = square_root((1 + d) % prime, prime, root)
    for chosen in (discriminant, -discriminant):
        y = square_root((-1 + chosen) * pow(d, -1, prime) % prime, prime, root)
        if y is not None:
            yield y
            yield prime - y


def square_root(number, prime, root):
    found = pow(number, (prime + 3) // 8, prime)
    for candidate in (found, found * root % prime):
        if candidate * candidate % prime == number % prime:
            return candidate
    return None


@pytest.mark.parametrize("texts, letter", [
    ([b"v=DKIM1; p=" + b"A" * 64000], "E"),
    ([b"x" * 65000], "E"),
    ([b"n=" + b"y " * 30000 + b"; " + RECORD.partition("; ")[2].encode()], "A"),
    ([b"v=spf1 -all"] * 100, "E"),
    ([b"v=spf1 -all"] * 99 + [RECORD.encode()], "A"),
    ([b"v=DKIM1; p=AAAA"] * 100, "E"),
    ([b""] * 100, "E"),
], ids=lambda value: str(value)[:24])
def test_huge_answers_from_the_dns(texts, letter):
    assert examine(dkim_signed(), {NAME: texts}).letter == letter


# Time

def parse(texts):
    try:
        key_record.parse_all(texts)
    except key_record.Malformed:
        pass


def claims(text):
    authentication_results.is_ours(b"authentication-results", b"authentication-results:" + text, ID)


def hidden(text):
    authentication_results.is_ours(b"x", text, ID)


def split(text):
    message.split([text[at:at + 65536] for at in range(0, len(text), 65536)])


# function, what it gets for a size
GROWING = {
    "tags": (parse, lambda size: [b"".join(b"t%d=x;" % n for n in range(size // 8))]),
    "semicolons": (parse, lambda size: [b"p=x" + b";" * size]),
    "blanks in a record": (parse, lambda size: [b"p=" + b" " * size + b"x"]),
    "equals signs": (parse, lambda size: [b"p=" + b"=" * size]),
    "folds in a record": (parse, lambda size: [b"p=A" + b"\r\n " * (size // 3) + b"A"]),
    "comments": (claims, lambda size: b"(" * size),
    "comments, closed": (claims, lambda size: b"(" * (size // 2) + b")" * (size // 2)),
    "quotes": (claims, lambda size: b'"' + b"\\" * size),
    "words": (claims, lambda size: b" x" * (size // 2)),
    "CRs": (hidden, lambda size: b"a\r" * (size // 2)),
    "CRs after a forged one": (hidden, lambda size: (
        b"a\rauthentication-results: x" + b"\r" * (size // 2) + b"\ra" * (size // 4))),
    "forged after CRs": (hidden, lambda size: b"authentication-results: x\r" * (size // 20)),
    "fields": (split, lambda size: b"a:\n" * (size // 3)),
    "folds": (split, lambda size: b"a:\n" + b" \n" * (size // 2)),
    "no colon": (split, lambda size: b"a\n" * (size // 2)),
    "From: atoms": (address.domains, lambda size: b"a " * (size // 2)),
    "From: dots": (address.domains, lambda size: b"." * size),
    "From: commas": (address.domains, lambda size: b"," * size),
    "From: angles": (address.domains, lambda size: b"<" * size),
    "From: routes": (address.domains, lambda size: b"<" + b"@a," * (size // 3) + b":a@b.c>"),
    "From: escapes": (address.domains, lambda size: b'"' + b"\\x" * (size // 2) + b'"@a.b'),
}


@pytest.mark.parametrize("what", GROWING)
def test_time_grows_with_the_size(what):
    """Eight times the text, nowhere near the 64 times of a quadratic way."""
    function, make = GROWING[what]
    size = 10000
    while growth.seconds(function, make(size)) < growth.STEP and size < 100_000:
        size *= 2
    assert growth.grows_less_than(32, function, make(size), make(8 * size))


# Code, files and memory that are not ours

HOSTILE_MODULES = ("os", "sitecustomize", "usercustomize", "lib", "re", "binascii", "stat",
                   "syslog", "fcntl", "encodings", "dkim", "dns", "time", "_ctypes")


def hostile(directory):
    """Settings of an environment that brings code, all of which leaves a trace in directory."""
    modules = directory / "modules"
    trace = str(directory / "ran")
    modules.mkdir()
    for name in HOSTILE_MODULES:
        (modules / f"{name}.py").write_text(f"open({trace!r}, 'a').write('{name} ')")
    version = "python{}.{}".format(*sys.version_info)
    relocated = modules / "lib" / version
    relocated.mkdir(parents=True)
    library = pathlib.Path(os.__file__).parent
    for path in library.iterdir():
        if path.name != "encodings":
            (relocated / path.name).symlink_to(path)
    shutil.copytree(library / "encodings", relocated / "encodings")
    with open(relocated / "encodings" / "__init__.py", "a") as file:    # before open() is there
        file.write(f"\nimport posix\nposix.open({trace!r}, posix.O_CREAT)\n")
    (modules / "pyvenv.cfg").touch()
    site = modules / "home/.local/lib" / version / "site-packages"
    site.mkdir(parents=True)
    (site / "evil.pth").write_text(f"import sys; open({trace!r}, 'w')")
    return modules, {
        "PYTHONPATH": str(modules), "PYTHONHOME": str(modules), "PYTHONSTARTUP": f"{modules}/re.py",
        "PYTHONUSERBASE": f"{modules}/home/.local", "HOME": f"{modules}/home", "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "3", "PYTHONDEBUG": "3", "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error",
        "PYTHONTRACEMALLOC": "25", "PYTHONFAULTHANDLER": "1", "PYTHONIOENCODING": "utf-16",
        "PYTHONMALLOC": "debug", "PYTHONPLATLIBDIR": "evil", "PYTHONBREAKPOINT": "re.x",
        "PYTHONOPTIMIZE": "2", "PYTHONDUMPREFS": "1", "PYTHONEXECUTABLE": f"{modules}/bin/python3",
        "PYTHONPROFILEIMPORTTIME": "1", "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "junk",
        "PYTHONCOERCECLOCALE": "warn", "PYTHONUTF8": "junk", "PYTHONPYCACHEPREFIX": str(modules),
        "ENV": f"{modules}/re.py", "BASH_ENV": f"{modules}/re.py", "LC_ALL": "junk"}


def test_no_code_from_the_environment_signs(tmp_path):
    host = Host(tmp_path)
    modules, environment = hostile(tmp_path)
    result = rspawn.deliver([host.launcher], host.message, {**host.environment, **environment},
                            cwd=modules)
    assert result == ("K", b"accepted\n") and host.sent_signed()
    assert not (tmp_path / "ran").exists()


def test_no_code_from_the_environment_verifies(tmp_path):
    host = queue_driver.Host(tmp_path)
    modules, environment = hostile(tmp_path)
    host.environment.update(environment, DKVERIFY="-", DNSCACHEIP="127.0.0.1#1")
    launcher = verifier_launcher(tmp_path)
    host.prefix = ["/bin/sh", "-c", 'cd "$0"; exec "$@"', str(modules)]
    host.python, host.program = [str(launcher)], []
    outcome = host.smtpd(dkim_signed())
    assert outcome.code == 0 and b"dkim=temperror" in outcome.queued["message"]
    assert outcome.log.count(b"\n") == 1
    assert not (tmp_path / "ran").exists()


def verifier_launcher(directory):
    """Writes launcher/qmail-dk-verify with its names filled in -> its path."""
    text = (rspawn.LAUNCHER.parent / "qmail-dk-verify").read_text()
    for name, value in (("@PYTHON@", sys.executable), ("@PROGRAM@", queue_driver.PROGRAM),
                        ("@QMAIL@", directory)):
        text = text.replace(name, str(value))
    path = directory / "verify"
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("variable, options", [
    ("PYTHONPATH", []),
    pytest.param("PYTHONEXECUTABLE", ["-IS"], marks=pytest.mark.skipif(
        sys.version_info < (3, 11), reason="older ones know it on macOS only")),
])
def test_hostile_modules_would_show(tmp_path, variable, options):
    modules, environment = hostile(tmp_path)
    (modules / "encodings.py").unlink()     # Python does not even start with this one
    subprocess.run([rspawn.PYTHON, *options, "-c", ""],
                   env={variable: environment[variable]}, stderr=subprocess.DEVNULL)
    assert (tmp_path / "ran").exists()


def test_a_link_in_place_of_the_temporary_file(tmp_path, monkeypatch):
    """Where O_TMPFILE does not serve, and the name was guessed."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(posix, "urandom", bytes)
    monkeypatch.delattr(posix, "O_TMPFILE")
    (tmp_path / ("qmail-dk." + bytes(16).hex())).symlink_to(victim)
    with pytest.raises(SpoolTrouble):
        spool.anonymous_file(spool.IN_MEMORY + 1, str(tmp_path))
    assert victim.read_text() == "precious"


# Private keys stay where they are

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
        for start in range(0, len(MARKER) - 8):
            assert MARKER[start:start + 8] not in text


@pytest.mark.parametrize("backend", ["crypto_openssl", "crypto_package"])
@pytest.mark.parametrize("kind", DAMAGED)
def test_no_exception_has_a_byte_of_a_key(monkeypatch, backend, kind):
    """Nor any that caused it: a traceback would show them all."""
    module = __import__(f"lib.{backend}", fromlist=["lib"])
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
from lib import keys
if sys.argv[2]:
    keys.key_files(b"example.com", sys.argv[2])
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


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="prctl is Linux's")
def test_no_core_dump_has_a_new_key():
    assert subprocess.check_output([rspawn.PYTHON, "-c", MAKING_A_KEY, rspawn.CHECKOUT]) == b"0\n"


def test_security_names_tests_that_exist():
    text = (rspawn.CHECKOUT / "SECURITY").read_text()
    files = set(re.findall(r"\b(?:test_\w+|readers)\.py", text))
    assert len(files) > 10
    sources = {name: (rspawn.CHECKOUT / "tests" / name).read_text() for name in files}
    for name, function in re.findall(r"(test_\w+\.py) (test_\w+)", text):
        assert f"def {function}(" in sources[name]
    targets = (rspawn.CHECKOUT / "tests/fuzz/targets.py").read_text()
    for target in re.findall(r'"([a-z_]+)"', text):
        assert f'"{target}": ' in targets
