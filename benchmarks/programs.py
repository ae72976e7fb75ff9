# SPDX-License-Identifier: MIT
"""Measures whole processes, ours and their peers, for one message each.

The programs for one size take turns, so that other load on the machine affects all
alike.  Those that execute another program at their end execute NOTHING, whose CPU is
measured as well and subtracted.
"""

import contextlib
import os
import shutil
import subprocess
from typing import NamedTuple

from figures import AT_ONCE, Figures, Row, Section
from scratch import DOMAIN, HERE, SELECTOR, SIGNATURES, SUBJECT, can, with_dkimpy

KEYLESS_DOMAIN = "no-key.example"
NOTHING = "/bin/true"
NOTHING_ROW = ("signing, small", f"{NOTHING}, in qmail's place")
BARE = ("signing, small", "bare interpreter, -IS -c pass")
SERVER = "resident verifier, its 4 workers"
LARGE_HEADER = f"verifier, 1 MB of header, {SIGNATURES} DomainKeys"
SMALL = 10**5           # bytes; a message with more is not small
RESIDENT_MOST = 8 * 1024 * 1024     # bytes; a larger message never goes to the server


class Program(NamedTuple):
    """A program to measure for a row.

    ours: whether it is this project's
    command: list; None if the program is not installed
    message: path of the file on descriptor 0
    environment: the complete one
    evidence: {text: how often it occurs in the program's output, log and what it
    passes on}, which shows that the program did its work
    ends: whether it executes NOTHING at its end
    server: servers.Verifyd that does part of the work, or None
    envelope: path of the file on descriptor 1, or "-" for none
    """
    name: str
    ours: bool
    command: list
    message: str
    environment: dict
    evidence: dict
    ends: bool = False
    server: object = None
    envelope: str = "-"


class Programs:
    """The programs, for messages of any size.

    scratch: scratch.Scratch
    dns_port: of the server on loopback that has the public key
    verifyd: servers.Verifyd or None
    """

    def __init__(self, scratch, dns_port, verifyd):
        self.scratch = scratch
        self.dns_port = dns_port
        self.verifyd = verifyd
        self.path = {"PATH": os.environ.get("PATH", os.defpath)}
        self.nothing = 0.0      # milliseconds of CPU; measured with the small messages

    def sections(self, title, amount):
        """Returns the Sections for messages of an Amount; title: names their size."""
        programs = {(f"{verb}, {title}", program.name): program
                    for verb, kind in (("signing", self.signers), ("verifying", self.verifiers))
                    for program in kind(amount.size)}
        remarks = {key: self.failure(program) for key, program in programs.items()}
        working = {key: program for key, program in programs.items() if not remarks[key]}
        rates = {}
        for key, program in working.items():    # first, to warm the server up
            if program.ours or amount.size <= SMALL:    # peers take much time or memory
                rates[key], remarks[key] = under_load(program, amount.load, self.scratch.python)
        figures = {key: found._replace(rate=rates.get(key)) for key, found in
                   measure(working, amount.runs, self.scratch.python).items()}
        if NOTHING_ROW in figures:
            self.nothing = figures[NOTHING_ROW].cpu
        for key, program in working.items():
            if program.ends:
                figures[key] = less(figures[key], self.nothing)
        rows = {}
        for key, program in programs.items():
            rows.setdefault(key[0], []).append(
                Row(program.name, program.ours, figures.get(key), BARE, remarks[key]))
        if self.verifyd and amount.size <= SMALL:
            rows[f"verifying, {title}"].append(self.server())
        return [Section(name, members) for name, members in rows.items()]

    def server(self):
        """Returns the Row of the resident verifier's memory, after the messages so far."""
        return Row(SERVER, True, Figures(None, None, None, self.verifyd.memory()), None)

    def signers(self, size):
        """Yields the Programs that sign, and the bare interpreter to compare them with."""
        message = self.scratch.message(size)
        key = [DOMAIN, SELECTOR, self.scratch.key]
        if size <= SMALL:
            yield Program(BARE[1], False, [self.scratch.python, "-IS", "-c", "pass"],
                          "/dev/null", {}, {})
            yield Program(NOTHING_ROW[1], False, [NOTHING], "/dev/null", {}, {})
            yield self.signer("signer, no key", self.scratch.message(size, KEYLESS_DOMAIN),
                              KEYLESS_DOMAIN, 0)
        yield self.signer("signer", message, DOMAIN, 2)
        yield peer("Mail::DKIM", mail_dkim("sign", key), message,
                   {b"-Signature: ": 2, SUBJECT: 1})._replace(ends=True)
        yield peer("dkim.sign(), DKIM only", dkimpy("sign", key), message,
                   {b"-Signature: ": 1, SUBJECT: 1})._replace(ends=True)
        yield peer("opendkim-testmsg, rsa-sha1", opendkim(key), message,
                   {b"-Signature: ": 1, SUBJECT: 1})

    def signer(self, name, message, domain, signatures):
        """Returns the Program of our launcher and signer."""
        return Program(
            name, True, command(self.scratch.remote, [
                "mx.example.net", f"sender@{domain}", "recipient@example.net"]), message,
            {"DKSIGN": self.scratch.key_pattern, "DKREMOTE": NOTHING, **self.path},
            {b"-Signature: ": signatures, SUBJECT: 1}, ends=True)

    def verifiers(self, size):
        """Yields the Programs that verify."""
        message = self.scratch.signed_message(size)
        port = [str(self.dns_port)]
        # Each result is in the header field and in the log.
        results = {b"=pass": 4, SUBJECT: 1}
        if size <= SMALL:
            passed_on = self.verifier("verifier, DKVERIFY unset", message, {},
                                      {b"=pass": 0, SUBJECT: 1})
            yield passed_on
            yield self.by_sh(passed_on)
        yield self.verifier("verifier", message,
                            {"DKVERIFY": "DEGIJKfh", "DKSERVER": "-"}, results)
        if size <= RESIDENT_MOST:
            socket = self.verifyd.socket if self.verifyd else "-"
            resident = self.verifier("verifier, resident", message,
                                     {"DKVERIFY": "DEGIJKfh", "DKSERVER": socket},
                                     {**results, b"; resident": 1})._replace(server=self.verifyd)
            yield resident
            yield self.by_sh(resident)
        if size <= SMALL:
            yield from self.verifiers_of_policies(message, socket, results)
            yield self.verifier(LARGE_HEADER, self.scratch.large_header(),
                                {"DKVERIFY": "DEGIJKfh", "DKSERVER": "-"},
                                {b"domainkeys=fail": 2 * SIGNATURES, SUBJECT: 1})
        yield peer("Mail::DKIM", mail_dkim("verify", port), message, {b"pass": 2})
        yield peer("dkimverify, DKIM only", dkimpy("verify", port), message, {b"signature ok": 1})

    def verifiers_of_policies(self, message, socket, results):
        """Yields the Programs that also evaluate SPF and DMARC: alone, and with the server."""
        marking = {"DKVERIFY": "DEGIJKfh", "DKDMARC": "mark", "TCPREMOTEIP": "192.0.2.1"}
        for name, path, server, words in (
                ("verifier, DKDMARC=mark", "-", None, {}),
                ("verifier, resident, DKDMARC=mark", socket, self.verifyd, {b"; resident": 1})):
            yield self.verifier(name, message, {**marking, "DKSERVER": path},
                                {**results, b"=pass": 8, **words})._replace(
                server=server)

    def verifier(self, name, message, settings, evidence):
        """Returns the Program of our launcher and verifier, in the place of qmail-queue."""
        return Program(name, True, command(self.scratch.verify, []), message, {
            "DKQUEUE": NOTHING, "DKAUTHSERVID": "mx.example.net",
            "DNSCACHEIP": f"127.0.0.1#{self.dns_port}", **self.path, **settings},
            evidence, ends=True, envelope=self.scratch.envelope())

    def by_sh(self, program):
        """Returns the same Program with the launcher in sh, in place of the one in C."""
        return program._replace(name=f"{program.name}, no C",
                                command=command(self.scratch.verify_by_sh, []))

    def failure(self, program):
        """Runs a program once.  Returns why it did not do its work, or "".

        Without that, a program that gives up would seem fast.
        """
        if not program.command:
            return "not installed here"
        with contextlib.ExitStack() as stack:
            message = stack.enter_context(open(program.message, "rb"))
            first, take = subprocess.PIPE, self.scratch.deliver
            if program.envelope != "-":
                first, take = stack.enter_context(open(program.envelope, "rb")), self.scratch.accept
            done = subprocess.run(
                program.command, stdin=message, stdout=first, stderr=subprocess.PIPE, check=False,
                env=dict(program.environment, DKREMOTE=take, DKQUEUE=take))
        written = (done.stdout or b"") + done.stderr
        if done.returncode == 0 and all(written.count(text) == count
                                        for text, count in program.evidence.items()):
            return ""
        said = done.stderr or done.stdout[:200]
        return "does not work here: " + " ".join(said.decode("ascii", "replace").split())[-100:]


def peer(name, command, message, evidence):
    """Returns a Program that is not ours."""
    return Program(name, False, command, message, dict(os.environ, DKREMOTE=NOTHING), evidence)


def command(program, arguments):
    """Returns a command, or None if program is None."""
    return program and [program, *arguments]


def mail_dkim(verb, arguments):
    """Returns the command of a Mail::DKIM peer, or None if that is not installed."""
    perl = shutil.which("perl")
    found = perl if perl and can([perl, "-MMail::DKIM", "-e1"]) else None
    return command(found, [f"{HERE}/peers/mail_dkim_{verb}.pl", *arguments])


def dkimpy(verb, arguments):
    """Returns the command of a dkimpy peer, or None if that is not installed."""
    return command(with_dkimpy(), [f"{HERE}/peers/dkimpy_{verb}.py", *arguments])


def opendkim(key):
    """Returns the command with which opendkim-testmsg signs, or None if it is not installed.

    key: domain, selector, path.  (It verifies only with keys in the real DNS.)
    """
    program = shutil.which("opendkim-testmsg", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return command(program, [word for pair in zip(("-d", "-s", "-k"), key) for word in pair])


def measure(programs, runs, python):
    """Runs each program `runs` times in turn.  Returns {key: Figures}, without rates."""
    samples = {key: [] for key in programs}
    for _ in range(runs):
        for key, program in programs.items():
            before = program.server.cpu() if program.server else 0
            found = of_one_run(run(program, 1, python))
            served = program.server.cpu() - before if program.server else 0
            samples[key].append(found._replace(cpu=found.cpu + served * 1000))
    return {key: Figures.of(found) for key, found in samples.items()}


def less(figures, milliseconds):
    """Returns Figures with less CPU."""
    return figures._replace(cpu=figures.cpu - milliseconds, samples=tuple(
        less(sample, milliseconds) for sample in figures.samples))


def under_load(program, count, python):
    """Runs a program count times, AT_ONCE at once.  Returns (messages a second, remark)."""
    if not program.server:
        return count / run(program, count, python)[2], ""
    before = program.server.answers()
    rate = count / run(program, count, python)[2]
    return rate, f"{program.server.answers() - before} of {count} at once by the server"


def of_one_run(used):
    """Returns Figures of what run() returns for one run of a program."""
    cpu, peak, seconds = used
    return Figures(cpu * 1000, seconds * 1000, None, peak / 1024)


def run(program, count, python):
    """Runs a program count times, AT_ONCE at once.  Returns (CPU seconds, peak KiB, seconds)."""
    done = subprocess.run(
        [python, "-IS", f"{HERE}/measure.py", program.message, program.envelope,
         str(count), str(AT_ONCE),
         *program.command], env=program.environment, stdout=subprocess.PIPE, check=True)
    cpu, peak, seconds = map(float, done.stdout.split())
    return cpu, peak, seconds
