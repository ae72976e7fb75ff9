# SPDX-License-Identifier: MIT
"""The programs that benchmarks/run measures, with the keys, messages and DNS that they need."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
ENVIRONMENT = f"{CHECKOUT}/.venv/bin/python"    # has the packages, once the tests ran

DOMAIN = "example.com"
KEYLESS_DOMAIN = "no-key.example"
SELECTOR = "bench"
NOTHING = "/bin/true"   # what our programs and their peers start in the end: only they count
SUBJECT = b"Subject: a message for the benchmark"

BARE = "bare interpreter, -IS -c pass"


class Program(NamedTuple):
    """One row.

    command: None where it is missing here; message: the file on its descriptor
    0; environment: the whole of it; evidence: {text: how often it stands in
    what the program writes or hands on}, to tell that it did its work
    served: function -> CPU seconds so far of a server that does part of it
    """
    name: str
    command: list
    message: str
    environment: dict
    evidence: dict
    served: object = None


class Workshop:
    """A directory of keys and messages, and the programs installed there.

    directory: an empty one; python: the interpreter of ours; size: of the
    large message, in MB; dns_port: where the public key is on loopback
    """

    def __init__(self, directory, python, size):
        self.directory = directory
        self.python = python
        self.packaged_python = with_packages(python)
        self.large = f"{size} MB"
        self.launcher = install(directory, python)
        self.deliver = write_script(f"{directory}/deliver", "#!/bin/sh\nexec cat\n")
        self.key = f"{directory}/keys/{DOMAIN}/{SELECTOR}"
        os.makedirs(os.path.dirname(self.key))
        shutil.copyfile(f"{CHECKOUT}/tests/golden/keys/rsa.pem", self.key)
        os.chmod(self.key, 0o600)
        self.dns_port = unused_port()
        self.socket = f"{directory}/verify.sock"
        self.serving = None     # while resident() is entered: Program.served
        self.small = write_message(f"{directory}/small", DOMAIN, 1000)
        self.keyless = write_message(f"{directory}/keyless", KEYLESS_DOMAIN, 1000)
        self.one_megabyte = write_message(f"{directory}/medium", DOMAIN, 10**6)
        self.large_message = write_message(f"{directory}/large", DOMAIN, size * 10**6)
        self.small_signed = self.signed(self.small)
        self.large_signed = self.signed(self.large_message)

    def groups(self):
        """The programs that take turns: list of (whether with large messages, [Program])."""
        return [
            (False, [Program(BARE, [self.python, "-IS", "-c", "pass"], "/dev/null", {}, {}),
                     self.signer("signer", self.small),
                     self.signer("signer, no key", self.keyless, KEYLESS_DOMAIN, signatures=0),
                     self.peer("Mail::DKIM", mail_dkim("sign"), self.small, 2),
                     self.peer("dkim.sign(), DKIM only", dkimpy("sign"), self.small, 1),
                     self.verifier("verifier", self.small_signed),
                     self.verifier("verifier, DKVERIFY unset", self.small_signed, letters=""),
                     self.resident_verifier("verifier, resident", self.small_signed),
                     self.judge("Mail::DKIM, verifying", mail_dkim("verify"), self.small_signed,
                                {b"pass": 2}),
                     self.judge("dkimverify, DKIM only", dkimpy("verify"), self.small_signed,
                                {b"signature ok": 1})]),
            (True, [self.signer("signer, 1 MB", self.one_megabyte),
                    self.signer(f"signer, {self.large}", self.large_message),
                    self.peer(f"Mail::DKIM, {self.large}", mail_dkim("sign"),
                              self.large_message, 2),
                    self.peer(f"dkim.sign(), {self.large}", dkimpy("sign"),
                              self.large_message, 1),
                    self.verifier(f"verifier, {self.large}", self.large_signed),
                    self.judge(f"dkimverify, {self.large}", dkimpy("verify"),
                               self.large_signed, {b"signature ok": 1})])]

    def signer(self, name, message, domain=DOMAIN, signatures=2):
        """Our launcher and signer."""
        command = [self.launcher, "mx.example.net", f"sender@{domain}", "recipient@example.net"]
        return Program(name, command, message, {
            "PATH": os.environ.get("PATH", os.defpath),
            "DKSIGN": f"{self.directory}/keys/%/{SELECTOR}", "DKREMOTE": NOTHING},
            {b"-Signature: ": signatures, SUBJECT: 1})

    def peer(self, name, command, message, signatures):
        """A wrapper of qmail-remote that takes domain, selector and key file."""
        return Program(name, command and command + [DOMAIN, SELECTOR, self.key], message,
                       dict(os.environ, DKREMOTE=NOTHING),
                       {b"-Signature: ": signatures, SUBJECT: 1})

    def verifier(self, name, message, letters="DEGIJKfh"):
        """Our verifier in place of qmail-queue; without letters it needs no packages."""
        python = self.packaged_python if letters else self.python
        command = python and [
            python, "-IS", f"{self.directory}/installed/qmail_qfilter_verify.py", "--queue"]
        return Program(name, command, message, {
            "PATH": os.environ.get("PATH", os.defpath), "DKQUEUE": NOTHING, "DKVERIFY": letters,
            "DKAUTHSERVID": "mx.example.net", "DNSCACHEIP": f"127.0.0.1#{self.dns_port}",
            "DKSERVER": "-"},
            {b"=pass": 2 if letters else 0, SUBJECT: 1})

    def resident_verifier(self, name, message):
        """The same, while resident() serves it."""
        program = self.verifier(name, message)
        return program._replace(
            command=program.command if self.serving else None, served=self.serving,
            environment=dict(program.environment, DKSERVER=self.socket))

    def judge(self, name, command, message, evidence):
        """A verifier that takes the port of the DNS and prints its results."""
        return Program(name, command and command + [str(self.dns_port)], message,
                       dict(os.environ), evidence)

    def signed(self, message):
        """Signs a message with our signer -> path."""
        path = f"{message}.signed"
        with open(path, "wb") as output:
            run(self.signer("", message), self.deliver, output)
        return path

    def failure(self, program):
        """Why a program's figures would mean nothing, or "": one that gives up is fast."""
        if not program.command:
            return "not installed here"
        done = run(program, self.deliver, subprocess.PIPE)
        if done.returncode == 0 and all(done.stdout.count(text) == count
                                        for text, count in program.evidence.items()):
            return ""
        said = done.stderr or done.stdout[:200]
        return "does not work here: " + " ".join(said.decode("ascii", "replace").split())[-100:]

    @contextlib.contextmanager
    def dns(self):
        """Serves the public key on loopback while it lasts, by the tests' dnslib."""
        zone = f"{self.directory}/zone"
        with open(zone, "w", encoding="ascii") as file:
            file.write(f'{SELECTOR}._domainkey.{DOMAIN}. 300 IN TXT {key_record(self.key)}\n')
        with open(f"{self.directory}/dns.log", "wb") as log:
            server = subprocess.Popen(
                [ENVIRONMENT if os.path.exists(ENVIRONMENT) else self.python, "-m",
                 "dnslib.zoneresolver", "--zone", zone, "--address", "127.0.0.1",
                 "--port", str(self.dns_port)], stdout=log, stderr=log)
        try:
            wait_for_dns(server, self.dns_port)
            yield
        finally:
            server.kill()
            server.wait()


    @contextlib.contextmanager
    def resident(self):
        """Runs the resident verifier while it lasts, where it can run."""
        if not self.packaged_python or not os.path.exists("/proc/self/schedstat"):
            yield
            return
        environment = {"DKSERVER": self.socket, "DNSCACHEIP": f"127.0.0.1#{self.dns_port}"}
        program = f"{self.directory}/installed/lib/qmail_dk_verifyd.py"
        command = [self.packaged_python, "-IS", program, "--workers", "1",
                   *(["--user", "nobody"] if os.geteuid() == 0 else [])]
        with open(f"{self.directory}/verifyd.log", "wb") as log:
            server = subprocess.Popen(command, env=environment, stderr=log)
        try:
            while not os.path.exists(self.socket) and server.poll() is None:
                time.sleep(0.05)
            self.serving = lambda: cpu_of_children(server.pid)
            yield
        finally:
            server.terminate()
            server.wait()


def cpu_of_children(process):
    """CPU seconds that the children of a process have used so far.  Linux only."""
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        children = file.read().split()
    nanoseconds = 0
    for child in children:
        with open(f"/proc/{child}/schedstat", encoding="ascii") as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def run(program, last, output):
    """Runs a program, `last` being what it starts in the end -> subprocess.CompletedProcess."""
    with open(program.message, "rb") as message:
        return subprocess.run(
            program.command, stdin=message, stdout=output, stderr=subprocess.PIPE, check=False,
            env=dict(program.environment, DKREMOTE=last, DKQUEUE=last))


def install(directory, python):
    """Puts our programs there as they are put into qmail, compiled -> path of the launcher."""
    installed = f"{directory}/installed"
    shutil.copytree(f"{CHECKOUT}/lib", f"{installed}/lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for program in ("qmail_remote_dk.py", "qmail_qfilter_verify.py"):
        shutil.copy(f"{CHECKOUT}/{program}", installed)
    subprocess.run([python, "-m", "compileall", "-q", installed], check=True)
    with open(f"{CHECKOUT}/launcher/qmail-remote", encoding="utf-8") as file:
        text = file.read()
    for name, value in (("PYTHON", python), ("PROGRAM", f"{installed}/qmail_remote_dk.py"),
                        ("QMAIL", f"{directory}/qmail")):
        text = text.replace(f"@{name}@", value)
    return write_script(f"{installed}/qmail-remote", text)


def write_script(path, text):
    """Writes an executable file -> path."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path


def write_message(path, domain, size):
    """Writes a message of about size bytes, text and an attachment -> path."""
    header = (b"Received: from client (192.0.2.1) by mail.%(domain)b with SMTP; "
              b"1 Jan 2024 00:00:00 -0000\n"
              b"From: Sender <sender@%(domain)b>\nTo: Recipient <recipient@example.net>\n"
              b"%(subject)b\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n"
              b"Message-ID: <20240101000000.1@%(domain)b>\nMIME-Version: 1.0\n"
              b"Content-Type: text/plain; charset=us-ascii\n\n"
              % {b"domain": domain.encode(), b"subject": SUBJECT})
    text = b"Some text of the  usual kind, with two blanks here and there and one at an end. \n"
    attachment = b"TWFpbCBhdHRhY2htZW50cyBhcmUgYmFzZTY0LCBzbyBhcmUgbW9zdCBieXRlcyBvZiBsYXJnZSBt\n"
    block = text * 2 + b"\n" + attachment * 8
    with open(path, "wb") as file:
        file.write(header)
        for _ in range(size // len(block) + 1):
            file.write(block)
    return path


def with_packages(python):
    """python as it finds the verifier's packages: by .venv, by itself, or None."""
    for candidate in (ENVIRONMENT, python):
        if os.path.realpath(candidate) == os.path.realpath(python) and can(
                [candidate, "-c", "import dkim, dns.resolver"]):
            return candidate
    return None


def mail_dkim(verb):
    """The command of a Mail::DKIM peer, or None where it is not installed."""
    perl = shutil.which("perl")
    if perl and can([perl, "-MMail::DKIM", "-e1"]):
        return [perl, f"{HERE}/peers/mail_dkim_{verb}.pl"]
    return None


def dkimpy(verb):
    """The command of a dkimpy peer by .venv or the interpreter that runs this, or None."""
    for python in (ENVIRONMENT, sys.executable):
        if can([python, "-c", "import dkim"]):
            return [python, f"{HERE}/peers/dkimpy_{verb}.py"]
    return None


def can(command):
    """Whether a command is there and succeeds."""
    try:
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def key_record(path):
    """The key record of a private RSA key, as quoted strings of a zone file."""
    public = subprocess.run(["openssl", "rsa", "-in", path, "-pubout"], check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    record = "v=DKIM1; k=rsa; p=" + "".join(public.split("\n")[1:-2])
    return " ".join(f'"{record[at:at + 200]}"' for at in range(0, len(record), 200))


def unused_port():
    """A UDP port of loopback that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_dns(server, port):
    """Waits until the DNS server answers, or has ended."""
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.1)
        while server.poll() is None:
            try:
                client.send(query)
                client.recv(512)
                return
            except socket.timeout:
                pass
            except ConnectionRefusedError:
                time.sleep(0.05)
