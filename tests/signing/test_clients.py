# SPDX-License-Identifier: MIT
"""control/dkmay: who handed a message to qmail, and as which domains it may be signed."""

import os
import pathlib
import pwd
import subprocess
import tempfile

import pytest

from lib import settings
from lib.errors import SettingTrouble
from lib.mail import message
from lib.signing import clients
from tests.support import administrator, signing

DATE = "26 Sep 2023 04:46:54 -0000\n"
RECEIVED = "Received: (qmail 4711 invoked {}); " + DATE
SMTPD = "Received: from {} ({})\n  by mx.example.com with {}; " + DATE
RESULTS = "Authentication-Results: mx.example.com; dkim=none\nDomainKey-Status: no signature\n"
MAIL = "From: alice@example.com\nDate: " + DATE + "To: bob@example.net\n\nHello.\n"


def from_network(host="unknown (HELO x)", client="192.0.2.5", protocol="SMTP", between=""):
    return RECEIVED.format("from network") + between + SMTPD.format(host, client, protocol)


def name_of(header):
    """The client of a header, as a line of dkmay names it; None where it has none."""
    found = clients.client(message.parse_header(header.encode("latin-1"), True).fields)
    return found and str(found)


# The first fields of a message in the queue -> who handed it over.
CLIENTS = {
    RECEIVED.format("by uid 1000"): "uid:1000",
    RECEIVED.format("by uid 0") + MAIL: "uid:0",
    RECEIVED.format("by alias"): "alias",
    RECEIVED.format("for bounce"): "bounce",
    RECEIVED.format("by uid 1000") + "Delivered-To: x@example.com\n": "forward",
    RECEIVED.format("by alias") + "Delivered-To: x@example.com\n": "forward",
    from_network(): "net:192.0.2.5",
    from_network("mx.example.net"): "net:192.0.2.5",
    from_network(""): "net:192.0.2.5",
    from_network(client="2001:db8::1"): "net:2001:db8::1",
    from_network(client="::ffff:192.0.2.5"): "net:192.0.2.5",
    from_network(between=RESULTS): "net:192.0.2.5",
    from_network(between="X-Spam: no\n"): "net:192.0.2.5",
    from_network(protocol="QMTP"): "net:192.0.2.5",
    # who has authenticated, by RFC 3848's names alone: ident says what the client likes
    from_network(client="joe@192.0.2.5", protocol="ESMTPA"): "user:joe",
    from_network(client="joe@example.com@192.0.2.5", protocol="ESMTPSA"): "user:joe@example.com",
    from_network(client="joe@192.0.2.5", protocol="(AES256-SHA encrypted) ESMTPA"): "user:joe",
    from_network(client="joe@192.0.2.5"): "net:192.0.2.5",
    from_network(client="joe@192.0.2.5", protocol="ESMTPS"): "net:192.0.2.5",
    # what a client can say
    from_network("unknown (HELO 127.0.0.1)"): "net:192.0.2.5",
    from_network(client="127.0.0.1@192.0.2.5"): "net:192.0.2.5",
    from_network(client="a@127.0.0.1@192.0.2.5"): "net:192.0.2.5",
    from_network("with?ESMTPA; (HELO with?ESMTPA;)", "joe@192.0.2.5"): "net:192.0.2.5",
    from_network(client="joe@192.0.2.5") + "  by x with ESMTPA; x\n": "net:192.0.2.5",
    from_network(client="joe@192.0.2.5") + "\tx\n": "net:192.0.2.5",
    from_network() + RECEIVED.format("by uid 0"): "net:192.0.2.5",
    from_network() + SMTPD.format("unknown", "127.0.0.1", "SMTP"): "net:192.0.2.5",
    from_network() + SMTPD.format("unknown", "joe@127.0.0.1", "ESMTPA"): "net:192.0.2.5",
    from_network(client="unknown"): "network",
    from_network(client="192.0.2.5.evil"): "network",
    # no form that qmail's programs have
    RECEIVED.format("from network"): None,
    RECEIVED.format("from network") + MAIL: None,
    RECEIVED.format("from network") + "Received: (ofmipd 127.0.0.1); " + DATE: None,
    RECEIVED.format("from network") + "Received: by x; " + DATE + from_network(): None,
    from_network("a b"): None,
    from_network("a (HELO b) (127.0.0.1)"): None,
    from_network("a (HELO b"): None,
    RECEIVED.format("from network") + "Received: from x (127.0.0.1) by y with SMTP; " + DATE: None,
    RECEIVED.format("by uid x"): None,
    RECEIVED.format("by uid "): None,
    RECEIVED.format("by root"): None,
    "received: (qmail 1 invoked by uid 0); " + DATE: None,
    "Received: (qmail 1 invoked by uid 0);\n " + DATE: None,
    "X: y\n" + RECEIVED.format("by uid 0"): None,
    "Return-Path: <>\n" + from_network(): None,
    MAIL: None,
    "": None,
}


@pytest.mark.parametrize("header", CLIENTS, ids=repr)
def test_client(header):
    assert name_of(header) == CLIENTS[header]


def signs_as(tmp_path, lines, header, sender="alice@example.com", **others):
    """-> (d= of what is signed, by DKIM, None where it is not; the log)."""
    keys = tuple((domain, "s1", "rsa.pem") for domain in ("example.com", "example.net"))
    signer = signing.Signer(tmp_path, keys, DKPROTOCOLS="dkim", DKMAY=lines, **others)
    signed = signer.sign((header + MAIL).encode(), sender)
    found = dict(signing.fields(signed)).get("DKIM-Signature")
    return (signing.tags(found)["d"] if found else None), signer.log


UID, NETWORK = RECEIVED.format("by uid 1000"), from_network(between=RESULTS)
USER = from_network(client="joe@192.0.2.5", protocol="ESMTPSA")
OTHER = "net:198.51.100.0/24 example.com\n"     # a line that fits nobody

# dkmay, the first fields, who signs a message from example.com
ALLOWED = [
    ("uid:1000 example.com", UID, "example.com"), ("uid:1000 *", UID, "example.com"),
    ("uid:1000 EXAMPLE.COM", UID, "example.com"), ("uid:01000 example.com", UID, "example.com"),
    ("uid:1000 example.org example.com", UID, "example.com"),
    ("uid:1000 example.org\nuid:1000 example.com", UID, "example.com"),
    ("# a comment\r\n\r\n\ufeff uid:1000\texample.com \r\n", UID, "example.com"),
    ("alias example.com", RECEIVED.format("by alias"), "example.com"),
    ("bounce example.com", RECEIVED.format("for bounce"), "example.com"),
    ("forward example.com", UID + "Delivered-To: x\n", "example.com"),
    ("net:192.0.2.5 example.com", NETWORK, "example.com"),
    ("net:192.0.2.0/24 example.com", NETWORK, "example.com"),
    ("net:192.0.2.4/31 example.com", NETWORK, "example.com"),
    ("net:0.0.0.0/0 example.com", NETWORK, "example.com"),
    ("net:::ffff:192.0.2.5 example.com", NETWORK, "example.com"),
    ("net:2001:db8::/32 example.com", from_network(client="2001:db8:1::5"), "example.com"),
    ("user:joe example.com", USER, "example.com"), ("net:192.0.2.5 *", USER, "example.com"),
    # nobody
    (OTHER, UID, None), (OTHER, NETWORK, None), (OTHER, USER, None), (OTHER, "", None),
    ("uid:1001 *", UID, None), ("uid:100 *", UID, None), ("alias *", UID, None),
    ("uid:1000 example.org com.com", UID, None), ("uid:1000 mail.example.com", UID, None),
    ("uid:1000 badexample.com", UID, None), ("uid:1000 *", UID + "Delivered-To: x\n", None),
    ("net:192.0.2.4 *", NETWORK, None), ("net:192.0.2.0/30 *", NETWORK, None),
    ("net:::/0 *", NETWORK, None), ("user:192.0.2.5 *", NETWORK, None),
    ("user:Joe *", USER, None), ("user:joe *", from_network(client="joe@192.0.2.5"), None),
    ("uid:0 *", from_network() + RECEIVED.format("by uid 0"), None),
    ("net:127.0.0.1 *\nuid:0 *\nuser:joe *", from_network() + SMTPD.format(
        "unknown", "joe@127.0.0.1", "ESMTPA"), None),
    ("net:0.0.0.0/0 *\nnet:::/0 *", from_network(client="unknown"), None),
]


@pytest.mark.parametrize("lines, header, expected", ALLOWED, ids=repr)
def test_allowed(tmp_path, lines, header, expected):
    found, log = signs_as(tmp_path, lines, header)
    assert found == expected
    if not expected:
        (line,) = log
        assert line.startswith("not signed as example.com: by DKMAY, that is not for ")


def test_a_domain_stands_for_those_below_it(tmp_path):
    signer = signing.Signer(tmp_path, (("lists.example.com", "s1", "rsa.pem"),),
                            DKMAY="uid:1000 example.com", DKPROTOCOLS="dkim")
    signed = signer.sign((UID + MAIL.replace("alice@", "alice@lists.")).encode())
    assert signing.tags(dict(signing.fields(signed))["DKIM-Signature"])["d"] == "lists.example.com"


def test_the_next_domain_signs(tmp_path):
    """That of the envelope sender, where the author's is not the client's."""
    found, log = signs_as(tmp_path, "uid:1000 example.net", UID, "x@example.net")
    assert found == "example.net"
    assert log[0].startswith("not signed as example.com: by DKMAY, that is not for uid:1000")


def test_no_key_no_line(tmp_path):
    signer = signing.Signer(tmp_path, (("example.org", "s1", "rsa.pem"),), DKMAY=OTHER)
    assert signer.sign((UID + MAIL).encode()) == (UID + MAIL).encode() and signer.log == []


def test_a_stranger_with_our_envelope_sender_is_not_signed_on_a_forward(tmp_path):
    """The verifier's mark lets the envelope's domain sign, for SRS; DKMAY does not."""
    header = RECEIVED.format("by alias") + "Delivered-To: bob@example.com\n" + NETWORK
    text = (header + MAIL.replace("example.com", "example.org")).encode()
    for lines, signs in (("", True), ("net:192.0.2.0/24 *\nalias *", False)):
        signer = signing.Signer(tmp_path, DKMAY=lines, DKAUTHSERVID="mx.example.com")
        assert (signer.sign(text, "eve@example.com") != text) == signs


BAD = ["uid:1000", "uid:x example.com", "uid:-1 example.com", "uid: example.com",
       "uid:" + "9" * 5000 + " *", "example.com", "joe example.com", "net: example.com",
       "net:192.0.2 example.com", "net:192.0.2.0/33 *", "net:192.0.2.0/ *", "net:192.0.2.1/24 *",
       "net:192.0.2.0/" + "0" * 5000 + " *", "net:2001:db8::1/32 *", "net:localhost *",
       "net:10. example.com", "user: *", "user:joe_doe *", "user:j\xf6 *", "alias", "alias:1 *",
       "uid:1000 example.com,example.net", "uid:1000 .example.com", "uid:1000 com",
       "uid:1000 *.example.com", "uid:1000 \udcff.com", "network *"]


@pytest.mark.parametrize("bad", BAD, ids=lambda line: repr(line[:40]))
@pytest.mark.parametrize("form", ["{}", "uid:1000 *\n{}", "{}\nuid:1000 *"])
def test_a_line_without_sense(tmp_path, bad, form):
    """Mail waits, whomever the other lines are about."""
    with pytest.raises(SettingTrouble, match="^DKMAY: "):
        signs_as(tmp_path, form.format(bad), UID)


@pytest.mark.parametrize("content", ["", "\n", "# nobody\n", OTHER])
def test_a_file_that_fits_nobody(tmp_path, content):
    """It is there, so nobody may; only without the file all may."""
    (tmp_path / "dkmay").write_text(content)
    lines = settings.Settings({}, str(tmp_path)).lines("DKMAY")
    fields = message.parse_header(UID.encode(), True).fields
    assert clients.refused([b"example.com"], fields, lines) == ([b"example.com"], "uid:1000")


def test_no_file(tmp_path):
    assert settings.Settings({}, str(tmp_path)).lines("DKMAY") is None
    (tmp_path / "dkmay").write_text(OTHER)
    assert settings.Settings({"DKMAY": ""}, str(tmp_path)).lines("DKMAY") is None
    assert settings.Settings({}, str(tmp_path)).lines("DKMAY") == [OTHER.strip()]


def nowhere(path):
    path.symlink_to("nowhere")


def too_long(path):
    path.write_text(OTHER * 100_000)


@pytest.mark.parametrize("shape", [nowhere, os.mkdir, too_long])
def test_a_file_that_is_none(tmp_path, shape):
    shape(tmp_path / "dkmay")
    with pytest.raises(SettingTrouble, match="(?i)dkmay"):
        settings.Settings({}, str(tmp_path)).lines("DKMAY")


def test_why_and_check(tmp_path):
    admin = administrator.Administrator(tmp_path)
    admin.keygen()
    (admin.control / "dkmay").write_text("uid:1000 example.com\n")
    assert "handed to qmail by: uid:1000" in admin.succeed("why", "-", stdin=(UID + MAIL).encode())
    done = admin.run("why", "-", stdin=(NETWORK + MAIL).encode())
    assert done.returncode == 1
    assert "not signed as example.com: by DKMAY, that is not for net:192.0.2.5" in done.stdout
    assert "by DKMAY, who hands a message to qmail decides" in admin.succeed("why", "example.com")
    (admin.control / "dkmay").write_text("uid:1000 *\nuid:1000;example.com\n")
    assert ("FAIL settings: DKMAY: 'uid:1000;example.com' is not CLIENT DOMAIN"
            in admin.run("check").stdout)


# The real programs, on a scratch queue in a mount namespace

QMAIL = "/var/qmail"
NAMESPACE = ["unshare", "--mount", "sh", "-c", f'mount --bind "$1/queue" {QMAIL}/queue && '
             f'mount --bind "$1/control" {QMAIL}/control && cd / && shift && exec "$@"', "sh"]


@pytest.fixture
def queue():
    """A directory with a scratch queue and control files."""
    if os.geteuid() != 0 or not os.access(f"{QMAIL}/bin/qmail-smtpd", os.X_OK):
        pytest.skip("needs root, and qmail in /var/qmail")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        (directory / "control").mkdir()
        for file in "me", "rcpthosts":
            (directory / "control" / file).write_text("example.net\n")
        subprocess.run(["cp", "-a", f"{QMAIL}/queue", directory / "queue"], check=True)
        for path in (directory / "queue" / "mess").rglob("*"):
            if path.is_file():
                path.unlink()
        if subprocess.run([*NAMESPACE, directory, "true"], capture_output=True).returncode:
            pytest.skip("mount namespaces are not allowed")
        yield directory


def queued(directory, user, program, data, **environment):
    """What lies in the queue after a program of qmail's has run as a user (name or number)."""
    number = user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
    script = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[1])); " \
             "os.execv(sys.argv[2], sys.argv[2:])"
    done = subprocess.run(
        [*NAMESPACE, str(directory), "/usr/bin/env", "python3", "-c", script, str(number),
         f"{QMAIL}/bin/{program[0]}", *program[1:]], input=data, capture_output=True,
        env={"PATH": os.environ["PATH"], **environment}, timeout=60)
    assert done.returncode == 0, done
    (path,) = [path for path in (directory / "queue" / "mess").rglob("*") if path.is_file()]
    return path.read_bytes().decode()


FORGED = (RECEIVED.format("by uid 0") + SMTPD.format("x", "joe@127.0.0.1", "ESMTPA") + MAIL)


def smtp(helo, text):
    return (f"EHLO {helo}\nMAIL FROM:<alice@example.com>\nRCPT TO:<bob@example.net>\nDATA\n{text}"
            ".\nQUIT\n").replace("\n", "\r\n").encode()


@pytest.mark.parametrize("helo", ["client.example", "x) (uid 0)", "x)\t(127.0.0.1)\x01",
                                  "a (HELO b) (joe@127.0.0.1)", "x@127.0.0.1"])
@pytest.mark.parametrize("info", [None, "joe", "x) (127.0.0.1)", "joe@127.0.0.1"])
def test_of_the_real_smtpd(queue, helo, info):
    """The client says in HELO, ident and the message that it is another."""
    environment = {"TCPREMOTEIP": "192.0.2.5", "TCPREMOTEHOST": "127.0.0.1"}
    if info:
        environment["TCPREMOTEINFO"] = info
    text = queued(queue, "qmaild", ["qmail-smtpd"], smtp(helo, FORGED), **environment)
    assert text.startswith("Received: (qmail ") and FORGED in text
    assert name_of(text.partition("\n\n")[0] + "\n") == "net:192.0.2.5"


@pytest.mark.parametrize("first", ["  by x with ESMTPA; x", "\tx", " "])
def test_of_the_real_smtpd_a_message_that_continues_its_field(queue, first):
    text = queued(queue, "qmaild", ["qmail-smtpd"], smtp("x", f"{first}\n{FORGED}"),
                  TCPREMOTEIP="192.0.2.5", TCPREMOTEHOST="x", TCPREMOTEINFO="joe")
    assert " (joe@192.0.2.5)\n  by " in text and f"0000\n{first}\nReceived" in text
    assert name_of(text.partition("\n\n")[0] + "\n") == "net:192.0.2.5"


def test_of_the_real_smtpd_over_ipv6(queue):
    text = queued(queue, "qmaild", ["qmail-smtpd"], smtp("x", FORGED), TCPREMOTEIP="2001:db8::5")
    assert name_of(text.partition("\n\n")[0] + "\n") == "net:2001:db8::5"


@pytest.mark.parametrize("user, name", [(12345, "uid:12345"), ("alias", "alias"),
                                        ("qmails", "bounce"), (0, "uid:0")])
def test_of_the_real_inject(queue, user, name):
    text = queued(queue, user, ["qmail-inject", "bob@example.net"], FORGED.encode(), HOME="/")
    assert name_of(text.partition("\n\n")[0] + "\n") == name


@pytest.mark.parametrize("user", [12345, "alias"])
def test_of_the_real_forward(queue, user):
    text = queued(queue, user, ["forward", "bob@example.net"], FORGED.encode(),
                  DTLINE="Delivered-To: alice@example.com\n", NEWSENDER="alice@example.com")
    assert name_of(text.partition("\n\n")[0] + "\n") == "forward"
