# SPDX-License-Identifier: MIT
"""A scratch directory with our programs, a key, and messages."""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
ENVIRONMENT = f"{CHECKOUT}/.venv/bin/python"    # has the packages, once the tests ran

DOMAIN = "example.com"
SELECTOR = "bench"
SUBJECT = b"Subject: a message for the benchmark"


class Scratch:
    """The directory.

    directory: an empty one; python: the interpreter of ours
    remote, verify: paths of our qmail-remote and qmail-dk-verify, the latter
    None where there are no packages for it; key: of a private key, for DOMAIN
    and SELECTOR; key_pattern: DKSIGN; deliver: of a script that writes what it
    is given
    """

    def __init__(self, directory, python):
        self.directory = directory
        self.python = python
        install(directory, python)
        self.remote = self.launcher("qmail-remote", python, "qmail_remote_dk.py")
        self.verify = self.launcher("qmail-dk-verify", with_packages(python),
                                    "qmail_qfilter_verify.py")
        self.deliver = self.script("deliver", "exec cat")
        self.key = f"{directory}/keys/{DOMAIN}/{SELECTOR}"
        self.key_pattern = f"{directory}/keys/%/{SELECTOR}"
        os.makedirs(os.path.dirname(self.key))
        shutil.copyfile(f"{CHECKOUT}/tests/golden/keys/rsa.pem", self.key)
        os.chmod(self.key, 0o600)

    def launcher(self, name, python, program):
        """Writes a launcher as install.sh does -> path; None without an interpreter."""
        if not python:
            return None
        with open(f"{CHECKOUT}/launcher/{name}", encoding="utf-8") as file:
            text = file.read()
        for mark, value in (("PYTHON", python), ("QMAIL", f"{self.directory}/qmail"),
                            ("ORIGINAL", f"{self.directory}/qmail/bin/{name}.orig"),
                            ("PROGRAM", f"{self.directory}/installed/{program}")):
            text = text.replace(f"@{mark}@", value)
        return write_program(f"{self.directory}/installed/{name}", text)

    def script(self, name, commands):
        """Writes a script of sh -> path."""
        return write_program(f"{self.directory}/{name}", f"#!/bin/sh\n{commands}\n")

    def message(self, size, domain=DOMAIN):
        """A message of about size bytes -> path."""
        path = f"{self.directory}/{domain}.{size}"
        if not os.path.exists(path):
            write_message(path, domain, size)
        return path

    def signed_message(self, size):
        """The same, signed by our signer -> path."""
        path = f"{self.message(size)}.signed"
        if not os.path.exists(path):
            with open(self.message(size), "rb") as message, open(path, "wb") as output:
                subprocess.run(
                    [self.remote, "example.net", f"sender@{DOMAIN}", "recipient@example.net"],
                    stdin=message, stdout=output, check=True,
                    env={"DKSIGN": self.key_pattern, "DKREMOTE": self.deliver,
                         "PATH": os.environ.get("PATH", os.defpath)})
        return path


def install(directory, python):
    """Puts our programs there as install.sh does, compiled."""
    installed = f"{directory}/installed"
    shutil.copytree(f"{CHECKOUT}/lib", f"{installed}/lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for program in ("qmail_remote_dk.py", "qmail_qfilter_verify.py"):
        shutil.copy(f"{CHECKOUT}/{program}", installed)
    subprocess.run([python, "-m", "compileall", "-q", installed], check=True)


def write_program(path, text):
    """Writes an executable file -> path."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path


def write_message(path, domain, size):
    """Writes a message of about size bytes, text and an attachment."""
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


def with_packages(python):
    """python as it finds the verifier's packages: by .venv, by itself, or None."""
    for candidate in (ENVIRONMENT, python):
        if os.path.realpath(candidate) == os.path.realpath(python) and can(
                [candidate, "-c", "import dkim, dns.resolver"]):
            return candidate
    return None


def with_dkimpy():
    """An interpreter that has dkimpy: .venv's, the one that runs this, or None."""
    for python in (ENVIRONMENT, sys.executable):
        if can([python, "-c", "import dkim"]):
            return python
    return None


def can(command):
    """Whether a command is there and succeeds."""
    try:
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
