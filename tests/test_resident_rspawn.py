# SPDX-License-Identifier: MIT
"""The resident signer as qmail-send runs it: what is sent, and what is answered."""

import os
import resource
import subprocess
import time

import pytest

from tests import judges, rspawn, rspawn_driver, signing, test_golden
from tests.rspawn_driver import MESSAGE, Queue, command, open_files, workers

# A qmail-remote that keeps what it reads, as $SCRATCH/sent/RECIPIENT.
KEEPS = """#!/bin/sh
cat >"$SCRATCH/sent/$$" && mv "$SCRATCH/sent/$$" "$SCRATCH/sent/$3"
printf 'r\\0Kok\\n\\0'
"""
DELIVERED = b"Kok\n"
LARGE = MESSAGE + b"A line of a large message.\n" * 400_000      # 10 MB


class Host(Queue):
    """A Queue whose qmail-remote keeps what it gets."""

    def __init__(self, directory):
        super().__init__(directory, remote=KEEPS)
        (self.directory / "sent").mkdir()
        self.default = self.directory / "keys" / "example.com" / "default"
        self.default.symlink_to("s1")
        self.environment["DKSIGN"] = f"{self.directory}/keys/%/default"
        self.control = self.directory / "control"
        self.add(5)

    def sent(self, recipient="jane@example.net"):
        return (self.directory / "sent" / recipient).read_bytes()

    def tags(self, recipient="jane@example.net"):
        """Of the first signature of what was sent; {} where there is none."""
        name, field = signing.fields(self.sent(recipient))[0]
        return signing.tags(field) if name == "DKIM-Signature" else {}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def wait_until(condition):
    deadline = time.monotonic() + rspawn_driver.LONGEST_WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("name", test_golden.CASES)
def test_same_bytes_as_the_program_for_one_delivery(host, name):
    """Both at the time that the resident one's t= tells."""
    keys = signing.EXAMPLE_BOTH if name == "two-keys" else signing.EXAMPLE
    message_name, settings, _ = test_golden.CASES[name]
    message = test_golden.content(message_name + ".msg")
    signer = signing.Signer(host.directory / "golden-keys", keys, **settings)
    host.environment.update(signer.environment)
    host.add(5, message)
    with host.ours() as running:
        assert running.deliver(1, sender=b"alice@example.com") == DELIVERED
    assert host.sent() == signer.sign(message, now=int(host.tags().get("t", 0)))


@pytest.mark.parametrize("patterns", [1, 2, 3, 4, 8])
def test_deep_domains(host, patterns):
    """Hundreds of places for keys: more than a signing process can tell of in one reply."""
    host.environment["DKSIGN"] = ":".join(
        f"{host.directory}/keys/%/default{number}" for number in range(patterns))
    from_domain, sender_domain, envelope_domain = (".".join([label] * 124) + ".com"
                                                   for label in "abc")
    message = f"From: x@{from_domain}\nSender: x@{sender_domain}\n\nHello.\n".encode()
    host.add(5, message)
    host.add(6)
    with host.ours() as running:
        for recipient in (b"jane@example.net", b"bob@example.net"):
            assert running.deliver(1, sender=b"x@" + envelope_domain.encode(),
                                   recipient=recipient) == DELIVERED
            assert host.sent(recipient.decode()) == message
        assert running.deliver(2, name=b"0/6") == DELIVERED


def test_large_message(host):
    host.add(5, LARGE)
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        wait_until(lambda: not workers(running))        # with no more work, its process ends
    assert host.sent().endswith(LARGE)
    verdicts = judges.dkimpy(host.sent().replace(b"\n", b"\r\n"),
                             {"s1._domainkey.example.com":
                              host.signer.records["s1._domainkey.example.com"]})
    assert [verdict.result for verdict in verdicts] == ["pass"]


def test_small_messages_do_not_wait_for_large_ones(host):
    for number in range(10, 20):
        host.add(number, LARGE)
    with host.ours() as running:
        assert running.deliver(0) == DELIVERED
        running.send(b"".join(command(number, b"0/%d" % number) for number in range(10, 20)))
        host.add(6, MESSAGE + b"Another.\n")
        running.send(command(1, b"0/6"))
        answers = running.answers(11)
    assert {words for _, words in answers} == {DELIVERED}
    assert [number for number, _ in answers].index(1) < 10


def test_unsigned_message_is_sent_as_it_came(host):
    message = MESSAGE.replace(b"example.com", b"example.org") + b"bare \r CR\r\n"
    host.add(5, message)
    host.environment["DKIMEXPIRE"] = "never"        # makes no sense, but nobody asks for it
    with host.ours() as running:
        for _ in range(2):
            assert running.deliver(1, sender=b"joe@example.org") == DELIVERED
            assert host.sent() == message


def test_further_recipients_get_the_same_signature(host):
    recipients = [f"r{number}@example.net" for number in range(30)]
    with host.ours() as running:
        running.send(b"".join(command(number, recipient=recipient.encode())
                              for number, recipient in enumerate(recipients)))
        assert {words for _, words in running.answers(30)} == {DELIVERED}
        assert len(workers(running)) == 1
    assert len({host.sent(recipient) for recipient in recipients}) == 1
    assert host.sent("r1@example.net").endswith(MESSAGE)


def rotate(host):
    (host.default.parent / "s2").write_bytes(signing.key("rsa.pem"))
    os.symlink("s2", host.default.parent / "new")
    os.replace(host.default.parent / "new", host.default)


def rewrite_key(host):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    key = rsa.generate_private_key(65537, 1024)
    host.default.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))


def remove_key(host):
    host.default.unlink()


def set_canonicalization(host):
    (host.control / "dkimcanon").write_text("simple/simple\n")


def set_original(host):
    path = host.program("other", KEEPS.replace("ok", "by another"))
    (host.control / "dkremote").write_text(f"{path}\n")


def replace_message(host):
    host.add(5, MESSAGE.replace(b"Hello", b"World"))


CHANGES = {
    rotate: lambda before, after: (before["s"], after["s"]) == ("s1", "s2"),
    rewrite_key: lambda before, after: len(after["b"]) < len(before["b"]),
    remove_key: lambda before, after: not after,
    set_canonicalization: lambda before, after: after["c"] == "simple/simple",
    replace_message: lambda before, after: before["bh"] != after["bh"],
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_a_change_counts_at_once(host, change):
    with host.ours() as running:
        for _ in range(2):
            assert running.deliver(1) == DELIVERED
        before = host.tags()
        change(host)
        assert running.deliver(1) == DELIVERED
        assert CHANGES[change](before, host.tags())


def test_a_key_that_appears_counts_at_once(host):
    os.rename(host.default, host.default.parent / "hidden")
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        assert not host.tags()
        os.rename(host.default.parent / "hidden", host.default)
        assert running.deliver(1) == DELIVERED
        assert host.tags()["s"] == "s1"


def test_another_original_counts_at_once(host):
    del host.environment["DKREMOTE"]
    (host.control / "dkremote").write_text(f"{host.remote}\n")
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        set_original(host)
        assert running.deliver(1) == b"Kby another\n"


def test_envelope_senders_domain_signs_where_the_authors_has_no_key(host):
    host.add(5, MESSAGE.replace(b"joe@example.com", b"joe@example.org"))
    with host.ours() as running:
        assert running.deliver(1, sender=b"joe@example.org") == DELIVERED
        assert not host.tags()
        assert running.deliver(1, sender=b"bounce-1@example.com") == DELIVERED
        assert host.tags()["d"] == "example.com"


def garbage_key(host):
    host.default.write_bytes(b"no key\n")


def bad_setting(host):
    host.environment["DKPROTOCOLS"] = "dkim domainkey"


def original_missing(host):
    host.remote.unlink()


def no_place(host):
    host.add(5, LARGE)
    host.environment["TMPDIR"] = str(host.directory / "no-such-directory")


TROUBLES = {garbage_key: b"private key", bad_setting: b"'domainkey' is not one of",
            original_missing: b"DKREMOTE", no_place: b"no place"}


@pytest.mark.parametrize("breaks", TROUBLES, ids=lambda f: f.__name__)
def test_trouble_is_deferred(host, breaks):
    breaks(host)
    with host.ours() as running:
        running.send(command(1) + command(2) + command(3))
        for number, words in running.answers(3):
            assert words.startswith(b"Zqmail-rspawn: ") and words.endswith(b" (#4.3.0)\n")
            assert TROUBLES[breaks] in words
        assert running.finish() == ([], 0)
    assert not os.listdir(host.directory / "sent")


def test_unsigned_on_error(host):
    garbage_key(host)
    host.environment["DKONERROR"] = "unsigned"
    with host.ours() as running:
        for _ in range(2):
            assert running.deliver(1) == DELIVERED
            assert host.sent() == MESSAGE


@pytest.mark.parametrize("files", [10, 12, 16, 24, 32])
def test_few_descriptors(host, files):
    """Each delivery is made, signed, or deferred; none is lost, none goes unsigned."""
    names = [host.add(number, MESSAGE + b"%d\n" % number) for number in range(40, 60)]
    with host.ours(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                         (files, files))) as running:
        running.send(b"".join(command(number, name, recipient=b"r%d@example.net" % number)
                              for number, name in enumerate(names)))
        answers = running.answers(20)
        assert running.finish() == ([], 0)
    assert sorted(number for number, _ in answers) == list(range(20))
    for number, words in answers:
        recipient = f"r{number}@example.net"
        assert words[:1] in (b"K", b"Z")
        assert (words == DELIVERED) == os.path.exists(host.directory / "sent" / recipient)
        if words == DELIVERED:
            assert host.tags(recipient)["d"] == "example.com"


def test_timeouts_are_forgotten(host):
    with host.ours():
        assert host.timeouts.read_bytes() == bytes(1024)


def test_table_of_timeouts_missing(host):
    host.timeouts.unlink()
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED


def test_queue_missing(host):
    os.rename(host.directory / "queue", host.directory / "elsewhere")
    with host.ours() as running:
        assert running.first == b""
        assert running.process.wait() == 111


def test_qmail_send_that_is_gone(host):
    """Deliveries in progress are finished, as by the original."""
    with host.ours() as running:
        running.process.stdout.close()
        running.send(command(1) + command(2, recipient=b"r2@example.net"))
        running.process.stdin.close()
        assert running.process.wait(rspawn_driver.LONGEST_WAIT) == 0
    assert host.sent("r2@example.net").endswith(MESSAGE)


def install_launcher(host, python=rspawn.PYTHON, prefix=rspawn.CHECKOUT):
    text = (rspawn.CHECKOUT / "launcher" / "qmail-rspawn").read_text()
    for name, value in (("@PYTHON@", python), ("@PREFIX@", prefix), ("@QMAIL@", host.directory),
                        ("@ORIGINAL@", host.remote), ("@CONCURRENCY@", 77)):
        text = text.replace(name, str(value))
    (host.directory / "bin").mkdir()
    host.program("bin/qmail-rspawn.orig", "#!/bin/sh\necho the original\n")
    return host.program("bin/qmail-rspawn", text)


def test_launcher_becomes_the_resident_signer(host):
    del host.environment["DKREMOTE"]
    launcher = install_launcher(host)
    # As qmail-start runs it: descriptor 2 is closed.
    with rspawn_driver.Running(["sh", "-c", 'exec "$0" 2>&-', launcher],
                               host.environment) as running:
        assert running.first == b"\x4d"
        assert running.deliver(1) == DELIVERED
        assert os.readlink(f"/proc/{running.process.pid}/exe") == rspawn.PYTHON
        assert open_files(running.process.pid)[2] == "/dev/null"
        assert running.finish() == ([], 0)


@pytest.mark.parametrize("broken", [
    {"python": "/no/such/python"}, {"prefix": "/no/such/prefix"}, {"python": "/bin/false"}],
    ids=lambda broken: "".join(broken) + str(*broken.values()))
def test_launcher_falls_back_to_the_original(host, broken):
    done = subprocess.run([install_launcher(host, **broken)], env=host.environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"the original\n"
