# SPDX-License-Identifier: MIT
"""Measures qmail-dk check of many domains, with a resolver whose answers are slow.

The server is the resolver and both name servers of each domain, so it needs port 53.
Without a record of an installation no trial messages are made: the difference is what these
cost.
"""

import contextlib
import json
import os
import shutil
import subprocess

from figures import Figures, Row, Section
from programs import BARE, Program, of_one_run, run
from scratch import HERE, SELECTOR, give_to_signer, with_packages
from slow_dns import wire_name

LATENCY = 0.05          # seconds that each answer takes
ADDRESSES = ("127.0.0.91", "127.0.0.92")
MANY = 1000             # domains
CHECKED, WITHOUT_TRIALS = "check", "check, no trials"
GOOD, PASSED = "the record is that of the key", "=pass header.d="


def title(domains):
    """Returns the title of the section."""
    return f"checking, {domains:,} domains, answers after {LATENCY * 1000:.0f} ms"


def section(scratch, domains, runs):
    """Returns the Section.  scratch: scratch.Scratch; domains: their number"""
    python = with_packages(scratch.python)
    if not python:
        return absent(domains, "needs dkimpy and dnspython")
    names = [f"d{number}.example" for number in range(domains)]
    for name in names:
        directory = shutil.copytree(os.path.dirname(scratch.key),
                                    f"{scratch.directory}/keys/{name}")
        give_to_signer(f"{directory}/{SELECTOR}")
    zone = f"{scratch.directory}/slow.json"
    with open(zone, "w", encoding="ascii") as file:
        json.dump(records(names, scratch.key), file)
    try:
        with slow_dns(scratch.python, zone):
            return Section(title(domains), [row(scratch, python, name, names, runs)
                                            for name in (CHECKED, WITHOUT_TRIALS)])
    except NoServer:
        return absent(domains, f"needs port 53 of {' and '.join(ADDRESSES)}")


def absent(domains, reason):
    """Returns the Section if nothing can be measured.  reason: why"""
    return Section(title(domains), [Row(name, True, None, None, reason)
                                    for name in (CHECKED, WITHOUT_TRIALS)])


def records(names, key):
    """Returns the zone for slow_dns.py.  names: domains; key: path of the private key of all"""
    record = ("v=DKIM1; k=rsa; p=" + "".join(subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout"], check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True).stdout.split("\n")[1:-2]))
    servers = {f"ns{number}.hoster.example": bytes(map(int, address.split(".")))
               for number, address in enumerate(ADDRESSES, 1)}
    zone = {f"{server} A": [address.hex()] for server, address in servers.items()}
    zone["hoster.example TXT"] = [text("v=spf1 ip4:192.0.2.0/24 -all")]
    for name in names:
        zone.update({
            f"{name} NS": [wire_name(server).hex() for server in servers],
            f"{name} MX": [(b"\0\12" + wire_name("mx.hoster.example")).hex()],
            f"{name} TXT": [text("v=spf1 include:hoster.example -all")],
            f"{SELECTOR}._domainkey.{name} TXT": [text(record)],
            f"_domainkey.{name} TXT": [text("o=~")],
            f"_dmarc.{name} TXT": [text(f"v=DMARC1; p=reject; rua=mailto:dmarc@{name}")]})
    return zone


def text(value):
    """Returns the data of a TXT record, hexadecimal (RFC 1035 section 3.3.14)."""
    data = value.encode()
    return b"".join(bytes([len(data[at:at + 255])]) + data[at:at + 255]
                    for at in range(0, len(data), 255)).hex()


class NoServer(Exception):
    """slow_dns.py does not run."""


@contextlib.contextmanager
def slow_dns(python, zone):
    """A context in which slow_dns.py runs.  zone: path.  Raises NoServer."""
    with subprocess.Popen([python, f"{HERE}/slow_dns.py", str(LATENCY), zone, *ADDRESSES],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            if not server.stdout.readline():
                raise NoServer
            yield
        finally:
            server.kill()


def row(scratch, python, name, names, runs):
    """Returns a Row.  python: interpreter with the packages; name: of the row"""
    prefix, output = f"{scratch.directory}/installed", f"{scratch.directory}/checked"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{prefix}/installed")
    if name == CHECKED:
        with open(f"{prefix}/installed", "w", encoding="ascii") as file:
            file.write(f"remote={scratch.remote}\nlauncher={scratch.remote}\nverify=yes\n"
                       "last_environment=\n")
    # It ends with 1, because there is no qmail there.
    command = scratch.script("check", " ".join([
        python, "-IS", "-X", "utf8", f"{prefix}/lib/qmail_dk.py", "check", *names,
        f">{output}", "||", ":"]))
    program = Program(name, True, [command], "/dev/null", {
        "DKSIGN": scratch.key_pattern, "DNSCACHEIP": ADDRESSES[0], "PATH": os.environ["PATH"]}, {})
    samples = [of_one_run(run(program, 1, scratch.python)) for _ in range(runs)]
    with open(output, encoding="utf-8") as file:
        said = file.read()
    trials = 2 * len(names) if name == CHECKED else 0
    if (said.count(GOOD), said.count(PASSED)) != (len(names), trials):
        return Row(name, True, None, None, "does not work here")
    return Row(name, True, Figures.of(samples), BARE)
