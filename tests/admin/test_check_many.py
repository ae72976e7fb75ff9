# SPDX-License-Identifier: MIT
"""qmail-dk check of many domains: questions at the same time, one limit, one process for trials."""

import os
import pty
import subprocess
import threading
import time

import pytest

from lib.lookup.memory import Memory
from tests.support.administrator import DOMAIN, records
from tests.support.checked_host import apex, host      # noqa: F401
from tests.support.dns_server import DnsServer

NUMBER = 24


class SlowServer(DnsServer):
    """Answers late.  most: the greatest number of questions that waited at the same time"""

    def __init__(self, zone, seconds):
        super().__init__(zone)
        self.seconds = seconds
        self.waiting = self.most = 0
        self.lock = threading.Lock()

    def answers(self, data, transport):
        with self.lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        time.sleep(self.seconds)
        with self.lock:
            self.waiting -= 1
        return super().answers(data, transport)


def many(host, number=NUMBER):
    """Gives the host more domains, all with the same key, and their records.  Returns them."""
    domains = [f"d{index}.example" for index in range(number)]
    for domain in domains:
        (host.keys / domain).symlink_to(host.keys / DOMAIN)
        host.zone[f"s1._domainkey.{domain}"] = [host.text]
        host.zone[domain] = apex("v=spf1 include:example.com -all")
        host.zone[f"_dmarc.{domain}"] = [f"v=DMARC1; p=none; rua=mailto:a@{domain}"]
    return domains


def test_all_at_the_same_time(host):
    domains = many(host)
    assert host.findings() == (1, [])
    asked = [(name, transport) for transport, name, _ in host.dns.asked]
    with SlowServer(host.zone, 0.1) as slow:
        host.environment["DNSCACHEIP"] = slow.address
        found = host.all_findings(*domains)
    assert slow.most > NUMBER / 2
    assert sum(finding["text"].startswith("the record is that") for finding in found) == NUMBER
    # Each is asked once, with another's answer known; types may differ.
    assert len(slow.asked) < 8 * NUMBER and len(asked) < 9 * NUMBER


def test_a_dead_resolver_is_named_once(host):
    domains = many(host)
    with SlowServer({}, 60) as dead:
        host.environment["DNSCACHEIP"] = dead.address
        status, found = host.findings(*domains)
        assert dead.most <= 2       # the probe, and once more
    assert status == 2 and [finding["subject"] for finding in found] == [
        f"resolver {dead.address}"]
    assert "nothing in the DNS was looked at" in found[0]["text"]


def test_one_limit_for_all(host):
    domains = many(host)
    with SlowServer(host.zone, 0.25) as slow:       # five questions one after the other
        host.environment["DNSCACHEIP"] = slow.address
        status, found = host.findings("--timeout", "1", *domains)
    (left,) = [finding for finding in found if finding["subject"] == "DNS"]
    assert status != 0 and left["level"] == "warn" and "--timeout" in left["remedy"]
    assert left["text"].endswith("and 4 more") and "within 1 seconds" in left["text"]
    assert "--timeout" in host.refused("check", "--timeout", "0")
    assert "--timeout" in host.refused("check", "--timeout", "soon")


def unsigned(host, domain):
    host.environment["DKSIGN"] = f"{host.keys}/%/default"
    (host.keys / domain / "default").unlink()


def dangling(host, domain):
    (host.keys / domain / "s1").unlink()


def no_key_file(host, domain):
    (host.keys / domain / "s1").write_text("rubbish")


def no_record(host, domain):
    del host.zone[f"s1._domainkey.{domain}"]


def sent_unsigned(host, domain):
    dangling(host, domain)
    host.environment["DKONERROR"] = "unsigned"


def wrong_setting(host, domain):
    dangling(host, domain)
    host.environment["DKONERROR"] = "send"


def wrong_setting_of_the_verifier(host, domain):
    host.environment["DKRSAMIN"] = "few"


@pytest.mark.parametrize("damage", [
    None, unsigned, dangling, no_key_file, no_record, sent_unsigned, wrong_setting,
    wrong_setting_of_the_verifier],
    ids=lambda damage: getattr(damage, "__name__", "well"))
def test_the_process_says_what_the_programs_say(host, damage):
    """The programs make the first domain's trial, the process the others'."""
    other = "other.example"
    host.zone.update({name: [text] for name, text in records(
        host.keygen("s1", domain=other)).items()})
    if damage:
        damage(host, other)
    by_process = trials(host.all_findings(DOMAIN, other))
    by_programs = trials(host.all_findings(other, DOMAIN))
    assert by_process == by_programs and len(by_process) > 1


def trials(findings):
    """{domain: the trial's results}; a line may be about several domains."""
    found = {}
    for finding in findings:
        if finding["subject"].startswith("trial "):
            for domain in finding["subject"][len("trial "):].split(", "):
                text = finding["text"].partition(" header.b=")[0]      # of a date
                found.setdefault(domain, set()).add((finding["level"], text))
    return found


def test_progress_is_shown_on_a_terminal(host):
    """After two seconds, and it is gone at the end."""
    domains = many(host, 3)
    shown, terminal = pty.openpty()
    with SlowServer(host.zone, 0.6) as slow:
        host.environment["DNSCACHEIP"] = slow.address
        done = subprocess.run([host.command, "check", *domains], stderr=terminal,
                              stdout=subprocess.PIPE, env=host.environment)
        os.close(terminal)
        output = os.read(shown, 65536)
        os.close(shown)
    assert b" of 3 domains looked up" in output and output.endswith(b"\r\033[K")
    assert b"looked up" not in done.stdout


def test_memory():
    """One thread finds, the others wait for it; errors are remembered, too."""
    memory, called, together = Memory(), [], threading.Barrier(8)

    def find():
        called.append(1)
        time.sleep(0.1)
        return "found"

    def ask():
        together.wait()
        results.append(memory.get("name", find))
    results = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results, called) == (["found"] * 8, [1])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            memory.get("error", lambda: called.append(2) or 1 / 0)
    assert called == [1, 2]
