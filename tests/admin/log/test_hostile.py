# SPDX-License-Identifier: MIT
"""qmail-dk log, with what strangers get into logs, and with what is none."""

import gzip
import itertools
import json
import os
import sys

import pytest

from lib.admin.log import lines, sums
from tests.support.administrator import admin       # noqa: F401
from tests.support.memory import MEASURED
from tests.support.read_log import CLASSIC, SIGNED, TAI64N, VERIFIED, Log, rows

MOST_MEMORY = 64        # MiB
HERE = CLASSIC + "qmail-remote-dk[4711]: "
GOOD = (HERE + SIGNED + "\n").encode()
TO = "; host=mx.example.net sender=<joe@example.com> recipient=<jane@example.net>\n"
LATER = TAI64N + "qmail-qfilter-verify: "

# What is no whole line of ours, though it is one of our program's.
BROKEN = {
    "cut within the signatures": "signed: dkim d=example.com s=s1 a=rsa-sh",
    "cut before the recipient": SIGNED[:-25],
    "no delivery": SIGNED.partition("; host=")[0],
    "no signature": "signed: " + TO.strip(),
    "an unknown protocol": SIGNED.replace("domainkeys", "spf"),
    "an unknown algorithm": SIGNED.replace("sha256", "md5"),
    "a domain that is none": SIGNED.replace("d=example.com", "d=a..b"),
    "a domain of one label": SIGNED.replace("d=example.com", "d=com"),
    "capitals": SIGNED.replace("d=example.com", "d=Example.com"),
    "a control character": SIGNED.replace("s=s1", "s=s\x1b[2J"),
    "another letter": SIGNED.replace("d=example.com", "d=ex\u00e4mple.com"),
    "a domain without a key, that is none": "not signed: no key for a_b.example" + TO.strip(),
    "words of the verifier": VERIFIED,
    "words of nobody": "whatever",
    "repeated again and again": "message repeated 9 times: [ " * 500 + SIGNED + "]" * 500,
    "an event that is none": "started: signs for many",
}


@pytest.fixture
def log(admin):
    return Log(admin)


def measured(log, *arguments, stdin=b""):
    """Runs log --json -.  Returns (CompletedProcess, MiB that it had at most)."""
    path = log.admin.directory / "memory"
    done = log.admin.run("log", "--json", *arguments, stdin=stdin, command=[
        sys.executable, "-IS", "-c", MEASURED, str(path)])
    return done, int(path.read_text()) / 1024


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lines_do_not_count(log, name):
    log.path.write_bytes((HERE + BROKEN[name] + "\n").encode() + GOOD)
    found = log.sums()
    assert found["lines_not_whole"] == 1
    assert rows(found["keys"]) == {("example.com", "s1"): [1, 1, 1]}
    assert found["unsigned"]["rows"] == found["verdicts"]["rows"] == found["events"]["rows"] == []


# The same for the verifier.
BROKEN_RESULTS = {
    "no number": VERIFIED.replace("qp 4711 ", ""),
    "an unknown verdict": VERIFIED.replace("accepted", "bounced"),
    "no letter": VERIFIED.replace(" (A)", ""),
    "no seconds": VERIFIED.partition("; dns")[0],
    "more behind": VERIFIED + " and more",
    "a result of nothing": VERIFIED.replace("; dkim=", "; arc="),
    "a domain with a blank": VERIFIED.replace("d=example.com", "d=example .com"),
    "half an origin": VERIFIED + "; client=192.0.2.7",
    "words of the signer": SIGNED,
    "words of the resident verifier": "A, 2345 bytes, dns 0.001 s; 0.003 s",
    "deferred without a client": "deferred: OSError: no",
}


@pytest.mark.parametrize("name", BROKEN_RESULTS)
def test_broken_results_do_not_count(log, name):
    log.path.write_text(LATER + BROKEN_RESULTS[name] + "\n" + LATER + VERIFIED + "\n")
    found = log.sums()
    assert found["lines_not_whole"] == 1
    assert rows(found["verdicts"]) == {("accepted", "good (A)"): [1]}
    assert rows(found["domains"]) == {"example.com": [1, 0, 0, 0]}


# Senders and recipients, which strangers choose, with our words in them.
SENDERS = [
    "x> recipient=<y>; host=z sender=<a", "x; host=y sender=<>", "signed: dkim d=evil.example s=s",
    "a> qmail-remote-dk[1]: signed: dkim d=evil.example s=s a=rsa-sha256; host=a sender=<b",
    "warning: deferred: KeyTrouble: x", "x" * 200, "; dns 0.001 s; resident", "]: ", "[1]: ",
]


@pytest.mark.parametrize("sender", SENDERS)
def test_senders_with_our_words(log, sender):
    log.path.write_text(HERE + SIGNED.replace("joe@example.com", sender) + "\n"
                        + HERE + "not signed: no key for a.example"
                        + TO.replace("jane@example.net", sender))
    found = log.sums()
    assert rows(found["keys"]) == {("example.com", "s1"): [1, 1, 1]}
    assert rows(found["unsigned"]) == {("a.example", "no key"): [1]}
    assert found["lines_not_whole"] == 0 and found["deferred"]["rows"] == []


def test_lines_that_are_cut_by_their_limit_count(log):
    """maillog writes 900 characters at most."""
    long = SIGNED.replace("jane", "j" * 900)[:900]
    accepted = "qp 1 accepted: bad (B)" + "; dkim=fail d=a.example s=s (wrong)" * 50
    end = "; client=192.0.2.7 sender=<a@b> message-id=<c@d>"
    refused = accepted.replace("accepted", "rejected")[:900 - len(end)] + end
    log.path.write_text(HERE + long + "\n" + LATER + refused + "\n"
                        + LATER + accepted[:900] + "\n")
    found = log.sums()
    assert rows(found["keys"]) == {("example.com", "s1"): [1, 1, 1]}
    assert rows(found["domains"]) == {"a.example": [0, 2, 0, 0]}
    assert len(found["verdicts"]["rows"]) == 2
    assert found["lines_not_whole"] == 0


def large(pieces):
    """Returns gzip of pieces (bytes), which may be too many for memory."""
    engine = gzip.zlib.compressobj(1, wbits=31)
    return b"".join([engine.compress(piece) for piece in pieces] + [engine.flush()])


# pieces of a log -> messages that are signed in it
LARGE = {
    "a line of 10 MB": ([b"x" * 10_000_000, b"\n", GOOD], 1),
    "a line of 10 MB that begins as ours": ([GOOD[:-1], b"x" * 10_000_000, b"\n", GOOD], 1),
    "a line of 10 MB that ends as ours": ([b"x" * 10_000_000, GOOD, GOOD], 1),
    "a GB without a line end": (itertools.chain(itertools.repeat(b"x" * 2 ** 20, 1024), [GOOD]),
                                0),
    "many line ends": ([b"\n" * 2 ** 20] * 10 + [GOOD], 1),
    "NULs": ([b"\0" * 2 ** 20] * 100 + [b"\n", GOOD], 1),
    "the last line without its end": ([GOOD, GOOD[:-1]], 2),
    "heads of lines": ([(CLASSIC.encode() + b"qmail-remote-dk[1]: ") * 200 + b"\n"] * 20_000
                       + [GOOD], 1),
    "ends of signed lines": ([(HERE + "signed: x" + "; host=>" * 1500 + "\n").encode()] * 2000
                             + [GOOD], 1),
    "many times no answer": ([(LATER + "qp 1 accepted: x; dns 0.001 s; no answer"
                               + "; client= " * 1500 + "\n").encode()] * 2000 + [GOOD], 1),
    "long texts, each another": (itertools.chain((
        (HERE + f"{text}{number:015000d}\n").encode() for number in range(5000) for text in (
            "signed: ", "warning: deferred: ", "qp 1 accepted: ")), [GOOD]), 1),
    "many fields": ([(CLASSIC + "qmail-rspawn 1 - " + "[a\\]" * 3000 + "\n").encode()] * 2000
                    + [GOOD], 1),
}


@pytest.mark.parametrize("name", LARGE)
def test_large(log, name):
    pieces, signed = LARGE[name]
    done, memory = measured(log, "-", stdin=large(pieces))
    assert (done.returncode, done.stderr) == (0, "")
    assert f'"first": {"null" if not signed else ""}' in done.stdout
    assert f"\"messages\": {signed}" in done.stdout or not signed
    assert memory <= MOST_MEMORY


def test_noise(log):
    noise = b"".join(os.urandom(2000) + b"\n" + GOOD for _ in range(5000))
    done, memory = measured(log, "-", stdin=noise)
    assert done.returncode == 0 and '"messages": 5000' in done.stdout and memory <= MOST_MEMORY


def endless():
    """Lines of each kind with endless names, and in between ours and a frequent forgery."""
    for number in range(60_000):
        name = f"{'a' * 60}.{'b' * 60}.{number}.example"
        yield (HERE + SIGNED.replace("d=example.com", "d=" + name) + "\n"
               + HERE + f"not signed: no key for {name}" + TO
               + HERE + f"warning: deferred: KeyTrouble: {'x' * 250}{name}\n"
               + LATER + f"qp 1 accepted: bad (B); dkim=fail d={name} s=s ({name}); dkim=temperror "
               f"d=x{name} s=s (the key can't be had now: {name}); dmarc=fail from=y{name} p=none "
               "(no); dns 0.001 s\n"
               + LATER + f"deferred: OSError: {name}; client=192.0.2.7\n").encode()
        if number % 20 == 0:
            yield GOOD + (LATER + "qp 1 rejected: no signature (C); dmarc=fail from=known.example "
                          "p=reject (no); dns 0.001 s\n").encode()


@pytest.mark.slow
def test_endless_names(log):
    done, memory = measured(log, "-", stdin=large(endless()))
    assert (done.returncode, done.stderr) == (0, "") and memory <= MOST_MEMORY
    assert len(done.stdout) < 2_000_000
    found = json.loads(done.stdout)
    assert rows(found["keys"])["example.com", "s1"] == [3000, 3000, 3000]
    assert rows(found["forged"])["known.example"] == [3000, 3000, 0, 3000]
    total = sum(row["messages"] for row in found["keys"]["rows"])
    assert total + found["keys"]["others"]["messages"] == 63_000
    assert found["keys"]["may_lack"] > 0
    said = log.admin.succeed("log", "-", stdin=large(endless()))
    assert "of names too many to keep; a name that is shown may have up to " in said


def test_a_table_keeps_what_is_large():
    """Each name with more than a 2,000th of all is kept, and lacks at most what it says."""
    table = sums.Table("one", "two")
    true = {}
    for number in range(100_000):
        for name in (number, -number % 7, ("often", number % 50)):
            true[name] = true.get(name, 0) + 1
            table.add(name, [1, 0])
    assert len(table.rows) <= 2 * sums.MOST
    assert table.total() == 300_000
    for name, count in true.items():
        kept = table.rows.get(name, [0])[0]
        assert kept <= count <= kept + table.missed
        assert name in table.rows or count <= 300_000 / sums.MOST


def test_blocks_are_whole_lines():
    text = b"".join(b"%d" % number + b"y" * (number % 50) + b"\n" for number in range(3000))
    text += b"end"
    for size in (1, 7, 100, 5000, len(text)):
        pieces = [text[at:at + size] for at in range(0, len(text), size)]
        blocks = list(lines.blocks(pieces))
        assert all(block[:1] == block[-1:] == b"\n" for block in blocks)
        assert b"".join(block[1:] for block in blocks) == text + b"\n"
