# SPDX-License-Identifier: MIT
"""Key files: which are found for a domain, their selectors, what they may hold."""

import base64
import os
import posix
import subprocess
import sys
import tempfile

import judges
import pytest
import signing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519

from lib import keys
from lib.errors import KeyTrouble, Trouble

MESSAGE = b"From: alice@example.com\n\nx\n"
RSA = signing.key("rsa.pem")
ED25519 = signing.key("ed25519.pem")


def put(path, data=RSA, mode=0o640):
    """Writes a key file, with its directories."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def found(patterns, *domains):
    """first_with_key() -> (domain, [(selector, path)]), paths as str."""
    domain, files = keys.first_with_key([domain.encode() for domain in domains], patterns, {})
    return domain and domain.decode(), [(selector.decode(), os.fsdecode(path))
                                        for selector, path, _, _ in files]


@pytest.fixture
def tree(tmp_path):
    """A DKSIGN tree with one key: example.com/s1.  -> its path, str."""
    put(f"{tmp_path}/example.com/s1")
    return str(tmp_path)


def test_pattern(tree):
    assert found(f"{tree}/%/s1", "example.com") == (
        "example.com", [("s1", f"{tree}/example.com/s1")])


def test_pattern_without_a_key(tree):
    assert found(f"{tree}/%/s1", "example.net") == (None, [])
    assert found(f"{tree}/%/s2", "example.com") == (None, [])
    assert found(f"{tree}/%/s1/deeper", "example.com") == (None, [])


def test_first_domain_with_a_key(tree):
    put(f"{tree}/example.net/s1")
    assert found(f"{tree}/%/s1", "example.org", "example.com", "example.net")[0] == "example.com"


def test_a_domain_is_looked_at_once_for_a_message(tree):
    """Its signatures agree on the key, even if that changes just then."""
    known, consulted = {}, []
    first = keys.first_with_key([b"example.net", b"example.com"], f"{tree}/%/s1", known,
                                consulted.append)
    put(f"{tree}/example.com/s1", ED25519)
    put(f"{tree}/example.net/s1", ED25519)
    assert keys.first_with_key([b"example.com"], f"{tree}/%/s1", known, consulted.append) == first
    assert keys.first_with_key([b"example.net"], f"{tree}/%/s1", known) == (None, [])
    assert consulted == [os.fsencode(f"{tree}/{domain}/s1")
                         for domain in ("example.net", "example.com")]


def test_several_patterns(tree):
    put(f"{tree}/example.com/s2", ED25519)
    assert found(f"{tree}/%/s2:{tree}/%/absent::{tree}/%/s1", "example.com") == (
        "example.com", [("s2", f"{tree}/example.com/s2"), ("s1", f"{tree}/example.com/s1")])


def test_one_selector_signs_once(tree):
    put(f"{tree}/other/example.com/s1")
    assert found(f"{tree}/%/s1:{tree}/other/%/s1", "example.com")[1] == [
        ("s1", f"{tree}/example.com/s1")]


def test_percent_twice_and_in_the_name(tree):
    put(f"{tree}/example.com/example.com.key")
    assert found(f"{tree}/%/%.key", "example.com")[1] == [
        ("example.com.key", f"{tree}/example.com/example.com.key")]


def test_domain_too_long_for_a_file_name(tree):
    """No key, and no trouble: anybody can put such a domain in a message."""
    longest = ".".join(["a" * 63] * 3 + ["b" * 57, "com"])
    assert len(longest) == 253
    assert found(f"{tree}/%/s1", longest) == found(f"{tree}/%.private", longest) == (None, [])


def test_relative_path(tree, monkeypatch):
    """Below the directory in which the program runs, and links in there."""
    os.symlink("s1", f"{tree}/example.com/default")
    for directory, pattern in ((tree, "%/default"), (tree, "./%//default"),
                               (f"{tree}/example.com", "default"),
                               (f"{tree}/example.com", "./default")):
        monkeypatch.chdir(directory)
        assert found(pattern, "example.com")[1][0][0] == "s1", pattern


def test_path_without_percent(tree):
    """One key for all domains, as the older tools allowed; it has to be there."""
    assert found(f"{tree}/example.com/s1", "example.net") == (
        "example.net", [("s1", f"{tree}/example.com/s1")])
    with pytest.raises(KeyTrouble, match="does not exist"):
        found(f"{tree}/absent", "example.net")


# Links: (name of the link -> target, selector of the link); T stands for the tree
LINKS = [
    ([("default", "s1")], "default", "s1"),
    ([("default", "./s1")], "default", "s1"),
    ([("default", "../example.com/s1")], "default", "s1"),
    ([("default", "T/example.com/s1")], "default", "s1"),
    ([("default", "next"), ("next", "s1")], "default", "s1"),
    # out of the directory: its own name is the selector
    ([("default", "../example.net/s9")], "default", "default"),
    ([("default", "T/example.net/s9")], "default", "default"),
    ([("default", "next"), ("next", "../example.net/s9")], "default", "next"),
    ([("default", "sub/../../example.net/s9")], "default", "default"),
]


@pytest.mark.parametrize("links, name, selector", LINKS)
def test_links(tree, links, name, selector):
    put(f"{tree}/example.net/s9", ED25519)
    os.mkdir(f"{tree}/example.com/sub")
    for link, target in links:
        os.symlink(target.replace("T/", tree + "/"), f"{tree}/example.com/{link}")
    (_, [(got, _, data, _)]) = keys.first_with_key([b"example.com"], f"{tree}/%/{name}", {})
    assert got.decode() == selector
    assert data == (RSA if selector == "s1" else ED25519)


def test_domain_directory_that_is_a_link(tree):
    os.symlink("example.com", f"{tree}/example.net")
    assert found(f"{tree}/%/s1", "example.net")[1][0][0] == "s1"


def test_dangling_link_is_no_key(tree):
    os.symlink("s2", f"{tree}/example.com/default")
    assert found(f"{tree}/%/default", "example.com") == (None, [])


def test_a_link_changed_meanwhile(tree, monkeypatch):
    """Never the selector of one key with the bytes of another."""
    put(f"{tree}/example.com/s2", ED25519)
    default = f"{tree}/example.com/default"
    put(default)

    def readlink(path, readlink=posix.readlink):
        try:
            return readlink(path)
        finally:        # by others, right after it was looked at
            if os.fsdecode(path) == default:
                os.unlink(default)
                os.symlink("s2", default)
    monkeypatch.setattr(posix, "readlink", readlink)
    with pytest.raises(KeyTrouble, match="unable to open"):
        found(f"{tree}/%/default", "example.com")
    assert found(f"{tree}/%/default", "example.com") == (
        "example.com", [("s2", f"{tree}/example.com/s2")])


def test_a_link_that_comes_meanwhile(tree, monkeypatch):
    def readlink(path, readlink=posix.readlink):
        try:
            return readlink(path)
        except FileNotFoundError:
            os.symlink("s1", path)
            raise
    monkeypatch.setattr(posix, "readlink", readlink)
    assert found(f"{tree}/%/default", "example.com") == (None, [])
    assert found(f"{tree}/%/default", "example.com")[1][0][0] == "s1"


def test_links_in_a_circle(tree):
    os.symlink("b", f"{tree}/example.com/a")
    os.symlink("a", f"{tree}/example.com/b")
    with pytest.raises(KeyTrouble, match="links"):
        found(f"{tree}/%/a", "example.com")


def test_rotation_is_one_relink(tmp_path):
    """The selector in the signature changes with the link."""
    signer = signing.Signer(tmp_path, signing.EXAMPLE, DKSIGN=f"{tmp_path}/%/default")
    signer.add_key("example.com", "s2026b", RSA)
    for target in ("s2026a", "s2026b"):
        os.symlink(target, f"{tmp_path}/new")
        os.rename(f"{tmp_path}/new", f"{tmp_path}/example.com/default")
        fields = dict(signing.fields(signer.sign(MESSAGE)))
        assert signing.tags(fields["DKIM-Signature"])["s"] == target
        assert signing.tags(fields["DomainKey-Signature"])["s"] == target


@pytest.mark.parametrize("name", ["s 1", "s;1", "s1\n", "s..1", ".s1", "s1.", "a" * 64,
                                  "s\xe4"])
def test_names_that_are_no_selectors(tree, name):
    put(f"{tree}/example.com/{name}")
    with pytest.raises(KeyTrouble, match="selector"):
        found(f"{tree}/%/{name}", "example.com")


def test_directory_in_place_of_a_key(tree):
    os.mkdir(f"{tree}/example.com/dir")
    with pytest.raises(KeyTrouble, match="not a file"):
        found(f"{tree}/%/dir", "example.com")


def test_fifo_in_place_of_a_key(tree):
    os.mkfifo(f"{tree}/example.com/fifo")
    with pytest.raises(KeyTrouble, match="not a file"):
        found(f"{tree}/%/fifo", "example.com")


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lib import keys, message, outbound, settings    # while they can be read
os.setgid(65534); os.setuid(65534)
try:
    keys.first_with_key([b"example.com"], sys.argv[2], {})
except keys.KeyTrouble as trouble:
    print(trouble)
"""


@pytest.mark.parametrize("what", ["file", "directory"])
def test_unreadable(what):
    """Neither an unreadable key nor an unsearchable directory is "no key"."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    script = AS_NOBODY
    if os.getuid():
        script = script.replace("os.setgid(65534); os.setuid(65534)", "")
    with tempfile.TemporaryDirectory() as tree:     # pytest's own is closed to nobody
        os.chmod(tree, 0o755)
        put(f"{tree}/example.com/s1", mode=0 if what == "file" else 0o644)
        os.chmod(f"{tree}/example.com", 0o755 if what == "file" else 0)
        output = subprocess.run([sys.executable, "-c", script, root, f"{tree}/%/s1"],
                                stdout=subprocess.PIPE, check=True).stdout.decode()
        os.chmod(f"{tree}/example.com", 0o755)
    assert "Permission denied" in output and "group qmail" in output
    assert f"{tree}/example.com/s1" in output


HOSTILE = [
    "../../etc/passwd", "..", "../example.com", "example.com/../example.com", "/etc", "a/b.com",
    "exam\0ple.com", "example.com\0", ".example.com", "example..com", "example.com/s1",
    "a" * 64 + ".com", ("a" * 60 + ".") * 5 + "com", "%.com", "example.com:/etc/passwd",
    "-.com", "com", "localhost", "\xe4.com", "[1.2.3.4]", "~root.com",
]


@pytest.mark.parametrize("domain", HOSTILE)
@pytest.mark.parametrize("place", ["From", "envelope", "Sender"])
def test_hostile_domains_never_reach_the_file_system(tmp_path, monkeypatch, domain, place):
    """No path with any part of such a domain is looked at, whatever the pattern."""
    signer = signing.Signer(tmp_path / "keys", (), DKSIGN="/nowhere/%/default:/nowhere/%")
    os.mkdir(tmp_path / "keys")
    address = f"x@{domain}".encode("latin-1")
    message = {"From": b"From: <" + address + b">\n", "envelope": b"From: nobody\n",
               "Sender": b"From: nobody\nSender: " + address + b"\n"}[place] + b"\nx\n"
    looked_at = []

    def recording(function):
        def recorded(path, *arguments, **keywords):
            looked_at.append(path)
            return function(path, *arguments, **keywords)
        return recorded
    for name in ("open", "readlink", "stat", "lstat"):
        monkeypatch.setattr(posix, name, recording(getattr(posix, name)))
    sender = address.decode("latin-1") if place == "envelope" else ""
    assert signer.sign(message, sender) == message
    assert [path for path in looked_at if b"nowhere" in os.fsencode(path)] == []
    # and it would have been seen:
    signer.sign(b"From: x@example.com\n\nx\n")
    assert [path for path in looked_at if b"nowhere" in os.fsencode(path)]


def pem(key, form=serialization.PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(serialization.Encoding.PEM, form,
                             encryption or serialization.NoEncryption())


RSA_KEY = serialization.load_pem_private_key(RSA, None)
ED25519_KEY = serialization.load_pem_private_key(ED25519, None)
SEED = ED25519_KEY.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                 serialization.NoEncryption())

# (key file, its algorithm)
GOOD = {
    "PKCS #1": (pem(RSA_KEY, serialization.PrivateFormat.TraditionalOpenSSL), "rsa"),
    "PKCS #8": (pem(RSA_KEY), "rsa"),
    "text before PEM": (b"RSA key of example.com\n" + RSA, "rsa"),
    "CR LF": (RSA.replace(b"\n", b"\r\n"), "rsa"),
    "Ed25519 PKCS #8": (ED25519, "ed25519"),
    "Ed25519 seed": (base64.b64encode(SEED), "ed25519"),    # as dkimpy's dknewkey writes it
    "Ed25519 seed, line": (base64.b64encode(SEED) + b"\n", "ed25519"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_key_files_that_sign(tmp_path, kind):
    """By signing: the golden keys' records vouch for what was loaded."""
    data, algorithm = GOOD[kind]
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH, DKSIGN=f"{tmp_path}/%/tested")
    put(f"{tmp_path}/example.com/tested", data)
    selector = "s2026a" if algorithm == "rsa" else "ed2026a"
    record = signer.records[f"{selector}._domainkey.example.com"]
    records = {"tested._domainkey.example.com": record}
    signed = signer.sign(MESSAGE).replace(b"\n", b"\r\n")
    for judge in (judges.dkimpy, judges.opendkim):
        verdict, = judge(signed, records)
        assert verdict.result in ("pass", "unsupported"), (judge, verdict)
        assert verdict.algorithm.startswith(algorithm)


BAD = {
    "empty": b"",
    "garbage": b"\0\xff garbage",
    "base64 of another length": base64.b64encode(b"x" * 31),
    "base64 of a PKCS #8 without PEM": base64.b64encode(SEED * 3),
    "seed and more": base64.b64encode(SEED) + b" x",
    "PEM garbage": b"-----BEGIN RSA PRIVATE KEY-----\ngarbage\n-----END RSA PRIVATE KEY-----\n",
    "PEM cut short": RSA[:len(RSA) // 2],
    "PEM cut short, with its end": RSA[:800] + b"\n-----END RSA PRIVATE KEY-----\n",
    "public key": RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    "certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "encrypted PKCS #8": pem(RSA_KEY, encryption=serialization.BestAvailableEncryption(b"x")),
    "encrypted PKCS #1": pem(RSA_KEY, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.BestAvailableEncryption(b"x")),
    "EC": pem(ec.generate_private_key(ec.SECP256R1())),
    "DSA": pem(dsa.generate_private_key(2048)),
    "larger than any key": b"x" * 100000,
}


@pytest.mark.parametrize("kind", BAD)
def test_key_files_that_do_not(tmp_path, kind):
    """A trouble that names the file, never a message sent unsigned."""
    signer = signing.Signer(tmp_path)
    put(f"{tmp_path}/example.com/s2026a", BAD[kind])
    with pytest.raises(KeyTrouble, match="example.com/s2026a"):
        signer.sign(MESSAGE)


def test_encrypted_key_does_not_ask_on_the_terminal(tmp_path):
    """Nor takes the empty passphrase for a wrong one after waiting for input."""
    put(f"{tmp_path}/k", BAD["encrypted PKCS #1"])
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    process = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
         "from lib import crypto\n"
         "try: crypto.load_private_key(open(sys.argv[2], 'rb').read())\n"
         "except crypto.KeyTrouble: print('trouble')", root, f"{tmp_path}/k"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30,
        start_new_session=True)
    assert process.stdout == b"trouble\n"


def rsa_pem(bits):
    return subprocess.run(["openssl", "genrsa", str(bits)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


@pytest.mark.parametrize("bits, signs", [(1024, "DKIM-Signature DomainKey-Signature"),
                                         (512, "DomainKey-Signature"),
                                         (1023, "DomainKey-Signature")])
def test_small_rsa_keys(tmp_path, bits, signs):
    """RFC 8301: none below 1024 bits for DKIM, and the log says so."""
    signer = signing.Signer(tmp_path)
    put(f"{tmp_path}/example.com/s2026a", rsa_pem(bits))
    fields = [name for name, _ in signing.fields(signer.sign(MESSAGE))]
    assert " ".join(fields[:-1]) == signs
    assert ("too few for DKIM" in signer.log[0]) == (bits < 1024)


def der(tag, content):
    """One element of DER (X.690 section 8.1), content up to 65535 bytes."""
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def huge_rsa_pem(bits):
    """PKCS #1 of a number that is no key, for making one takes a minute."""
    numbers = [0, (1 << bits) - 1, 65537] + 6 * [3]
    content = b"".join(der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))
                       for number in numbers)
    return (b"-----BEGIN RSA PRIVATE KEY-----\n" + base64.encodebytes(der(0x30, content))
            + b"-----END RSA PRIVATE KEY-----\n")


def test_large_rsa_keys(tmp_path):
    """Over what verifiers take; one of 16384 bits would cost a second for each delivery, too."""
    signer = signing.Signer(tmp_path)
    put(f"{tmp_path}/example.com/s2026a", huge_rsa_pem(9216))
    with pytest.raises(KeyTrouble, match="9216 bits|not a private key"):
        signer.sign(MESSAGE)


@pytest.mark.parametrize("mode, warned", [(0o640, False), (0o600, False), (0o644, True),
                                          (0o604, True)])
def test_keys_that_others_can_read(tmp_path, mode, warned):
    """Group-readable is normal: that is how qmailr reads them."""
    signer = signing.Signer(tmp_path)
    os.chmod(f"{tmp_path}/example.com/s2026a", mode)
    assert signer.sign(MESSAGE) != MESSAGE
    assert any("readable by others" in line for line in signer.log) == warned


def test_one_bad_key_of_two_is_a_trouble(tmp_path):
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH)
    put(f"{tmp_path}/example.com/ed2026a", b"garbage")
    with pytest.raises(Trouble, match="ed2026a"):
        signer.sign(MESSAGE)


def test_ed25519_alone_has_no_domainkeys(tmp_path):
    signer = signing.Signer(tmp_path, (("example.com", "ed", "ed25519.pem"),))
    assert [name for name, _ in signing.fields(signer.sign(MESSAGE))] == ["DKIM-Signature", "From"]


def test_ed25519_is_beneath_rsa(tmp_path):
    """RSA on top, for verifiers that look at one signature only; whatever DKSIGN's order."""
    signer = signing.Signer(tmp_path, tuple(reversed(signing.EXAMPLE_BOTH)))
    algorithms = [signing.tags(field)["a"] for name, field in signing.fields(signer.sign(MESSAGE))
                  if name == "DKIM-Signature"]
    assert algorithms == ["rsa-sha256", "ed25519-sha256"]


def test_generated_seed_is_used_as_one(tmp_path):
    """Not only the golden one: any 32 bytes are a seed."""
    key = ed25519.Ed25519PrivateKey.generate()
    seed = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                             serialization.NoEncryption())
    put(f"{tmp_path}/k", base64.b64encode(seed))
    (_, files) = keys.first_with_key([b"example.com"], f"{tmp_path}/k", {})
    loaded, = keys.load(b"example.com", files)
    signature = loaded.private_key.sign("sha256", b"d" * 32)
    key.public_key().verify(signature, b"d" * 32)
