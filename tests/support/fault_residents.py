# SPDX-License-Identifier: MIT
"""The resident programs, as subjects of the fault sweep.

qmail-rspawn: whatever fails, it answers each delivery once: K if the whole
message was sent once, with valid signatures, Z if nothing was sent.  A fault may
end it, as it may end the original: then no message without an answer may have been
sent, unless it was killed.

qmail-dk-verifyd: whatever fails, the queue program accepts the whole message and
calls its signature good, by the server's answer or on its own.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess

from lib.verifying import exchange
from tests.support import resident_signer
from tests.support import fault_subjects, judges, resident, rspawn, rspawn_driver, verifying
from tests.support.fault_sweep import KILLED, Subject

# A qmail-remote that writes what it reads to a file for each run.
KEEPS = """#!/bin/sh
cat >"$SCRATCH/sent/$3 $$"
printf 'r\\0Kok\\n\\0'
"""
# Runs the first signing process under strace, but not those that replace it.
FIRST_SIGNER = """#!/bin/sh
mkdir "$SCRATCH/traced" 2>/dev/null && exec {strace} '{python}' "$@"
exec '{python}' "$@"
"""
# The launcher runs this qmail-rspawn if ours does not start.
ORIGINAL = """#!/bin/sh
exec {command}
"""
MESSAGES = (rspawn_driver.MESSAGE, rspawn_driver.MESSAGE + b"Another.\n")
# The deliveries of each round, all at once: (number of the message, recipient).
ROUNDS = ([(0, "r0@example.net"), (0, "r1@example.net")], [(0, "r2@example.net")],
          [(1, "r3@example.net")])

# The letters of a delivery's answers, and an s for each time that the right message was sent.
FATES = {"Ks": "delivered", "Z": "deferred", "": "not answered", "s": "sent, not answered"}
# An error in these ends the conversation with qmail-send: getcmd() and okwrite() in spawn.c.
ENDS_CONVERSATION = {"read": {""}, "write": {"", "s"}}


class Conversation:
    """The result of a run of qmail-rspawn.

    started: whether the first byte came; answers: {number: [words]}
    sent: {recipient: [bytes]}; code: exit code, or minus the signal
    """

    def __init__(self, started, answers, sent, code):
        self.started, self.answers, self.sent, self.code = started, answers, sent, code


class ResidentSigner(Subject):
    """Two deliveries of a message at once, a third one, then one of another message.

    The places are the launcher, until it executes qmail-rspawn; qmail-rspawn; the
    first signing process; and all processes that it starts, until they execute
    another program, from the first or from the third delivery on.
    """

    places = ("launcher", "rspawn", "signing", "start", "restart")
    first = {"launcher": "#!/bin/sh"}
    work = {"rspawn": 'write(1, "x"', "signing": "recvmsg("}
    untrue = {"close"}      # frees the descriptor even if it fails
    STARTED = {"start": 0, "restart": 1}    # {place: index of the round}

    def __init__(self, directory):
        super().__init__(directory)
        self.queue = rspawn_driver.Queue(directory, remote=KEEPS)
        self.names = [self.queue.add(5 + n, message) for n, message in enumerate(MESSAGES)]
        self.launcher = resident_signer.install_launcher(self.queue)
        self.queue.program("bin/qmail-rspawn.orig", ORIGINAL.format(
            command=" ".join(f"'{word}'" for word in self.queue.ours_command())))

    def run(self, where, options):
        """Returns a Conversation.  Raises TimeoutError if the program does not end."""
        for name in ("sent", "traced"):
            shutil.rmtree(self.queue.directory / name, ignore_errors=True)
        (self.queue.directory / "sent").mkdir()
        # Each process of the program has this pipe open, so the last of them ends it.
        ended, held = os.pipe()
        command = self.queue.ours_command()
        others = {"pass_fds": [held], "stderr": subprocess.DEVNULL}
        if where == "launcher":
            command = [*self.strace(options, "-D", "-b", "execve"), self.launcher]
        elif where == "rspawn":
            command = [*self.strace(options, "-D"), *command]
        elif where == "signing":
            others["executable"] = command[0]
            command[0] = self.first_signer(options)     # qmail-rspawn runs it again, to sign
        try:
            with rspawn_driver.Running(command, self.queue.environment, **others) as running:
                os.close(held)
                started = running.first != b""
                answers = self.converse(running, where, options)
                code = running.process.wait(rspawn_driver.LONGEST_WAIT)
            wait_for_end(ended)
        finally:
            os.close(ended)
        return Conversation(started, answers, self.sent(), code)

    def first_signer(self, options):
        return self.queue.program("python", FIRST_SIGNER.format(
            strace=self.quoted(options, "-D"), python=rspawn.PYTHON))

    def converse(self, running, where, options):
        """Gives the commands as qmail-send does.  Returns the answers, {number: [words]}."""
        answers = {}

        def take(count):
            for number, words in running.answers(count):
                answers.setdefault(number, []).append(words)
        number = 0
        self.untraced = tracer = None
        try:
            for turn, deliveries in enumerate(ROUNDS if running.first else ()):
                if turn == self.STARTED.get(where):
                    if not turn:        # else nothing would start a signing process any more
                        resident_signer.wait_until(lambda: rspawn_driver.workers(running))
                        for worker in rspawn_driver.workers(running):
                            rspawn_driver.kill(running, worker)
                    self.untraced = running.process.pid
                    tracer = self.attach(self.untraced, options, "-f", "-b", "execve")
                for message, recipient in deliveries:
                    running.send(rspawn_driver.command(number, self.names[message],
                                                       recipient=recipient.encode()))
                    number += 1
                take(len(deliveries))
        except BrokenPipeError:
            pass
        running.process.stdin.close()
        take(256)
        if tracer:
            tracer.wait(rspawn_driver.LONGEST_WAIT)
        return answers

    def sent(self):
        """Returns the messages that the original got, {recipient: [bytes]}."""
        found = {}
        for path in (self.queue.directory / "sent").iterdir():
            found.setdefault(path.name.split()[0], []).append(path.read_bytes())
        return found

    def judge(self, fault):
        try:
            found = self.run(fault.where, fault.injection)
        except (TimeoutError, subprocess.TimeoutExpired) as trouble:
            return f"wrong: {trouble}"
        fates = [self.fate(found, number, *delivery)
                 for number, delivery in enumerate(delivery for deliveries in ROUNDS
                                                   for delivery in deliveries)]
        return self.verdict(fault, found, fates)

    def verdict(self, fault, found, fates):
        """Returns the result of judge() for a Conversation and its list of fates."""
        wrong = f"wrong: exit code {found.code}, {fates}"
        if not set(fates) <= FATES.keys() or set(found.answers) - set(range(len(fates))):
            return wrong
        unanswered = {fate for fate in fates if "Z" not in fate and "K" not in fate}
        if fault.error == KILLED and found.code == -signal.SIGKILL:
            return "killed, though sent" if "s" in unanswered else "killed"
        if not found.started:
            return wrong if set(fates) - {""} else "not started"
        if found.code:
            return wrong if "s" in unanswered else "ended"
        if unanswered:
            ends = unanswered <= ENDS_CONVERSATION.get(fault.call, set())
            return "conversation ended" if ends else wrong
        # A fault that happens once may defer only one delivery.
        if fates.count("Z") > 1 and fault.where not in self.STARTED:
            return wrong
        return "deferred" if "Z" in fates else "delivered"

    def fate(self, found, number, message, recipient):
        """Returns one of FATES, or another str if something is wrong."""
        sent = found.sent.get(recipient, [])
        return (b"".join(words[:1] for words in found.answers.get(number, [])).decode()
                + "".join("s" if self.is_right(text, MESSAGES[message]) else "?" for text in sent))

    def is_right(self, text, message):
        """Returns whether text is the whole message with signatures that verify."""
        if not text.endswith(b"\n" + message):
            return False
        verdicts = judges.dkimpy(text.replace(b"\n", b"\r\n"), self.queue.signer.records)
        return [(verdict.domain, verdict.result) for verdict in verdicts] == [
            ("example.com", "pass")]


def wait_for_end(descriptor):
    """Waits until no process has the other end of a pipe open.  Raises TimeoutError."""
    if not select.select([descriptor], [], [], rspawn_driver.LONGEST_WAIT)[0]:
        raise TimeoutError("a process stays")


class ResidentVerifier(Subject):
    """A server that loses its worker, verifies a message, reads its settings anew, and ends.

    The places are the parent; workers, from their start; and a worker that waits.
    """

    places = ("verifyd", "new worker", "worker")
    work = {"verifyd": "clone"}
    untrue = {"close"}

    def __init__(self, directory):
        super().__init__(directory)
        self.client = fault_subjects.Client(directory)

    def __enter__(self):
        self.client.__enter__()
        return self

    def __exit__(self, *exception):
        self.client.__exit__(*exception)

    def run(self, where, options):
        """Returns a Service.

        Raises AssertionError, TimeoutError or TimeoutExpired if the server does not end.
        """
        ended, held = os.pipe()         # as in ResidentSigner.run()
        server = resident.Resident(
            self.client.dns.address, "--workers", "1",
            prefix=self.strace(options, "-D") if where == "verifyd" else ())
        server.program = (resident.PROGRAM,)
        server.start(start_new_session=True, pass_fds=[held])
        os.close(held)
        try:
            service = Service(server)
            self.use(service, where, options)
            server.process.terminate()
            service.code = server.process.wait(rspawn_driver.LONGEST_WAIT)
            if service.code == 0:
                wait_for_end(ended)
            return service
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            os.close(ended)
            shutil.rmtree(server.directory)

    def use(self, service, where, options):
        """Takes the server through the steps of the class, except the end."""
        self.untraced = tracer = None
        service.wait_for_worker()
        if where == "worker":
            service.ask(verifying.MESSAGE)      # after that it waits for the next one
            tracer = self.attach(service.worker, options)
        elif where == "new worker":
            self.untraced = service.server.process.pid
            tracer = self.attach(self.untraced, options, "-f")
        try:
            self.need(service, where)
        finally:
            if tracer:
                tracer.terminate()
                tracer.wait(rspawn_driver.LONGEST_WAIT)
        # The server must work again, or have ended: then its supervisor would start it.
        resident.until_true(lambda: service.has_ended() or service.ask(self.client.message))

    def need(self, service, where):
        """Replaces the worker, then has the server verify."""
        if where != "worker":
            service.replace_worker(signal.SIGKILL)
        self.client.host.environment["DKSERVER"] = service.server.path
        service.outcome = self.client.run("smtpd")
        service.ask(self.client.message)
        if where == "verifyd":
            service.replace_worker(signal.SIGHUP)

    def judge(self, fault):
        try:
            service = self.run(fault.where, fault.injection)
        except (AssertionError, TimeoutError, subprocess.TimeoutExpired) as trouble:
            return f"wrong: {trouble}"
        verdict = self.client.verdict(service.outcome)
        if verdict != "accepted" or not service.letters <= {"A", "C"}:
            return f"wrong: {service.outcome}, {service.letters}"
        by_server = service.outcome.log.endswith(b"; resident\n")
        return (("verified by it" if by_server else "verified without it")
                + ("" if service.code == 0 else ", killed" if fault.error == KILLED else ", ended"))


class Service:
    """A resident verifier in use.

    server: resident.Resident, with one worker
    outcome: queue_driver.Outcome; letters: set of those in its other answers
    code: exit code
    """

    def __init__(self, server):
        self.server = server
        self.worker = None
        self.outcome = self.code = None
        self.letters = set()

    def has_ended(self):
        return self.server.process.poll() is not None

    def wait_for_worker(self):
        """Waits for a new worker, or for the end of the server."""
        def comes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                others = self.server.workers() - {self.worker}
                if others and os.path.exists(self.server.path):
                    self.worker = min(others)
                    return True
            return self.has_ended() or "nothing is changed" in self.server.log()
        resident.until_true(comes)

    def replace_worker(self, number):
        """Replaces the worker by a signal: SIGKILL to it, or SIGHUP to its parent."""
        with contextlib.suppress(ProcessLookupError):
            if not self.has_ended():        # else another process may have the number
                os.kill(self.server.process.pid if number == signal.SIGHUP else self.worker, number)
        self.wait_for_worker()

    def ask(self, message):
        """Returns whether the server answers, and records the letter."""
        try:
            self.letters.add(resident.ask(self.server.path, message).letter)
        except exchange.NoAnswer:
            return False
        return True
