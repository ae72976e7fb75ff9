# SPDX-License-Identifier: MIT
"""The resident signer as qmail-send runs it: what is sent, and what is answered."""

import os
import resource
import subprocess

import pytest

from tests.support import deliveries, golden, judges, rspawn, rspawn_driver, signing
from tests.support.resident_signer import (      # noqa: F401
    DELIVERED, KEEPS, LARGE, host, install_launcher, wait_until,
)
from tests.support.rspawn_driver import MESSAGE, command, open_files, workers


@pytest.mark.parametrize("name", golden.CASES)
def test_same_bytes_as_the_program_for_one_delivery(host, name):
    """Both at the time that the resident one's t= tells."""
    keys = signing.EXAMPLE_BOTH if name == "two-keys" else signing.EXAMPLE
    message_name, settings, _ = golden.CASES[name]
    message = golden.content(message_name + ".msg")
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


def test_an_original_that_sends_a_copy(host):
    """What it starts inherits its environment; that is no loop."""
    host.environment["LAUNCHER"] = str(rspawn.install_launcher(host.directory))
    host.program("remote", """#!/bin/sh
cat >"$SCRATCH/sent/$3"
case $3 in jane@*) exec "$LAUNCHER" "$1" "$2" archive@example.net <"$SCRATCH/sent/$3" ;; esac
printf 'r\\0Karchived\\n\\0'
""")
    with host.ours() as running:
        assert running.deliver(1) == b"Karchived\n"
    for recipient in ("jane@example.net", "archive@example.net"):
        assert host.sent(recipient).endswith(MESSAGE)


def test_the_original_inherits_no_copy_of_another_message(host):
    """They arrive while other deliveries are being started."""
    host.program("remote", """#!/bin/sh
echo "r$(readlink /proc/$$/fd/*)" | tr '\\n' ' '
printf '\\0K\\0'
""")
    for number in range(10, 30):
        host.add(number, MESSAGE + b"%d\n" % number)
    with host.ours() as running:
        running.send(b"".join(command(number, b"0/%d" % number) for number in range(10, 30)))
        answers = running.answers(20)
    for _, words in answers:
        assert words.count(b"memfd:") == 1, words


def test_large_message(host):
    host.add(5, LARGE)
    with host.ours() as running:
        wait_until(lambda: workers(running))
        for_small = workers(running)
        assert running.deliver(1) == DELIVERED
        wait_until(lambda: workers(running) == for_small)   # with no more work, its process ends
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
    host.age()
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
    host.age()
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


def rewritten_in_place(path, text):
    """The file has other bytes of the same size, the same inode and the same time, by touch -r."""
    before = path.stat()
    assert len(text) == before.st_size
    while path.stat().st_ctime_ns == before.st_ctime_ns:     # the system's clock has steps
        path.write_bytes(text)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def another_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())


def test_a_key_rewritten_in_place_with_its_old_time_counts_at_once(host):
    """As cp --preserve or rsync --inplace leave it, or a clock that was put back."""
    path = host.default.parent / "s1"
    path.write_bytes(path.read_bytes().ljust(4000, b"\n"))
    host.age()
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        before = host.sent()
        assert running.deliver(1) == DELIVERED
        assert host.sent() == before
        pem = another_key()
        rewritten_in_place(path, pem.ljust(4000, b"\n"))
        assert running.deliver(1) == DELIVERED
    verdicts = judges.dkimpy(host.sent().replace(b"\n", b"\r\n"),
                             {"s1._domainkey.example.com": signing.record(pem)})
    assert [verdict.result for verdict in verdicts] == ["pass"]


def test_a_setting_rewritten_in_place_with_its_old_time_counts_at_once(host):
    path = host.control / "dkimcanon"
    path.write_bytes(b"relaxed/simple\n")
    host.age()
    with host.ours() as running:
        for _ in range(2):
            assert running.deliver(1) == DELIVERED
            assert host.tags()["c"] == "relaxed/simple"
        rewritten_in_place(path, b"simple/relaxed\n")
        assert running.deliver(1) == DELIVERED
        assert host.tags()["c"] == "simple/relaxed"


def test_another_original_counts_at_once(host):
    del host.environment["DKREMOTE"]
    (host.control / "dkremote").write_text(f"{host.remote}\n")
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        set_original(host)
        assert running.deliver(1) == b"Kby another\n"


def test_the_original_has_its_own_name(host):
    """argv[0] is what qmail-rspawn gives, wherever the original is: it may look at that."""
    host.environment["DKREMOTE"] = deliveries.shell_in_place_of_the_original(host.mess)
    with host.ours() as running:
        assert running.deliver(1) == b"Kqmail-remote\n"


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


def setting_lost(host):
    (host.directory / "control" / "dkimcanon").symlink_to("dkimcanon.old")


def original_missing(host):
    host.remote.unlink()


def no_place(host):
    host.add(5, LARGE)
    host.environment["TMPDIR"] = str(host.directory / "no-such-directory")


TROUBLES = {garbage_key: b"private key", bad_setting: b"'domainkey' is not one of",
            setting_lost: b"dkimcanon is a link to nothing",
            original_missing: b"DKREMOTE", no_place: b"no place"}


@pytest.mark.parametrize("breaks", TROUBLES, ids=lambda f: f.__name__)
def test_trouble_is_deferred(host, breaks):
    breaks(host)
    with host.ours() as running:
        running.send(command(1) + command(2) + command(3))
        for _, words in running.answers(3):
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


def test_the_first_message_finds_a_signing_process(host):
    with host.ours() as running:
        wait_until(lambda: len(workers(running)) == 1)
        process_id, = workers(running)
        assert running.deliver(1) == DELIVERED
        assert workers(running) == [process_id]


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
