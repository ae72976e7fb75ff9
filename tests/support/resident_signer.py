# SPDX-License-Identifier: MIT
"""A queue whose resident signer delivers to a qmail-remote that keeps its input."""

import time

import pytest

from lib.rspawn import signed_messages
from tests.support import judges, rspawn, rspawn_driver, signing
from tests.support.rspawn_driver import MESSAGE, Queue, command

# A qmail-remote that writes its input to $SCRATCH/sent/RECIPIENT.
KEEPS = """#!/bin/sh
cat >"$SCRATCH/sent/$$" && mv "$SCRATCH/sent/$$" "$SCRATCH/sent/$3"
printf 'r\\0Kok\\n\\0'
"""
DELIVERED = b"Kok\n"
LARGE = MESSAGE + b"A line of a large message.\n" * 400_000      # 10 MB


class Host(Queue):
    """A Queue whose qmail-remote keeps its input."""

    def __init__(self, directory):
        super().__init__(directory, remote=KEEPS)
        (self.directory / "sent").mkdir()
        self.default = self.directory / "keys" / "example.com" / "default"
        self.default.symlink_to("s1")
        self.environment["DKSIGN"] = f"{self.directory}/keys/%/default"
        self.control = self.directory / "control"
        self.add(5)

    def age(self):
        """Waits until the consulted files are so old that a signed message may be kept."""
        paths = [self.control, *self.control.iterdir(), self.default, self.default.parent / "s1"]
        newest = max(path.lstat().st_ctime_ns for path in paths)
        wait_until(lambda: time.time_ns() > newest + signed_messages.CLOCK_STEP)

    def sent(self, recipient="jane@example.net"):
        return (self.directory / "sent" / recipient).read_bytes()

    def tags(self, recipient="jane@example.net"):
        """Returns the tags of the first signature that was sent; {} if there is none."""
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


def install_launcher(host, python=rspawn.PYTHON, prefix=rspawn.CHECKOUT):
    text = (rspawn.CHECKOUT / "launcher" / "qmail-rspawn").read_text()
    for name, value in (("@PYTHON@", python), ("@PREFIX@", prefix), ("@QMAIL@", host.directory),
                        ("@ORIGINAL@", host.remote), ("@CONCURRENCY@", 77)):
        text = text.replace(name, str(value))
    (host.directory / "bin").mkdir()
    host.program("bin/qmail-rspawn.orig", "#!/bin/sh\necho the original\n")
    return host.program("bin/qmail-rspawn", text)


def sent(host):
    """Returns the messages that were sent, {recipient: list of bytes}."""
    found = {}
    for path in (host.directory / "sent").iterdir():
        found.setdefault(path.name.split()[0], []).append(path.read_bytes())
    return found


def assert_kept_its_word(host, answers, count):
    """Asserts that the answers are true.  Returns the number of deliveries.

    answers: list of (number, words), for recipients r0, r1, ...
    """
    assert sorted(number for number, _ in answers) == list(range(count))
    arrived = sent(host)
    for number, words in answers:
        texts = arrived.pop(f"r{number}@example.net", [])
        assert words == DELIVERED or words.startswith(b"Z"), words
        assert len(texts) == (words == DELIVERED), (words, texts)
        for text in texts:
            verdicts = judges.dkimpy(text.replace(b"\n", b"\r\n"), host.signer.records)
            assert [verdict.result for verdict in verdicts] == ["pass"]
    assert not arrived
    return [words for _, words in answers].count(DELIVERED)


def recipients(host, count):
    """Returns commands (bytes) for count deliveries, of two messages by turns."""
    names = [host.add(40, MESSAGE), host.add(41, MESSAGE + b"Another.\n")]
    return b"".join(command(number, names[number % 2], recipient=b"r%d@example.net" % number)
                    for number in range(count))
