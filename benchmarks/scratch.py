# SPDX-License-Identifier: MIT
"""A scratch directory with our programs, a key, and messages."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
ENVIRONMENT = f"{CHECKOUT}/.venv/bin/python"    # has the packages once the tests have run

DOMAIN = "example.com"
SELECTOR = "bench"
SUBJECT = b"Subject: a message for the benchmark"
SIGNATURES = 10         # of large_header(), as many as are verified


class Scratch:
    """The scratch directory.

    directory: an empty one; python: the interpreter for our programs
    checkout: directory that the programs are copied from
    remote, verify: paths of our qmail-remote and qmail-dk-verify, which is in C where there
    is a compiler; verify_by_sh: of the one in sh; both are None without its packages
    key: path of a private key, for DOMAIN and SELECTOR; key_pattern: DKSIGN
    deliver, accept: paths of scripts that write their input to descriptors 1 and 2
    """

    def __init__(self, directory, python, checkout=CHECKOUT):
        self.directory = directory
        self.python = python
        self.checkout = checkout
        install(directory, python, checkout)
        os.makedirs(f"{directory}/qmail/control")
        self.remote = self.launcher("qmail-remote", python, "qmail_remote_dk.py")
        self.verify_by_sh = self.launcher("qmail-dk-verify", with_packages(python),
                                          "qmail_qfilter_verify.py")
        self.verify = (self.verify_by_sh and self.native_launcher()) or self.verify_by_sh
        self.deliver = self.script("deliver", "exec cat")
        self.accept = self.script("accept", "exec cat >&2")
        self.key = f"{directory}/keys/{DOMAIN}/{SELECTOR}"
        self.key_pattern = f"{directory}/keys/%/{SELECTOR}"
        os.makedirs(os.path.dirname(self.key))
        shutil.copyfile(f"{CHECKOUT}/tests/golden/keys/rsa.pem", self.key)
        give_to_signer(self.key)

    def launcher(self, name, python, program):
        """Writes a launcher as install.sh does.  Returns its path; None without interpreter."""
        if not python:
            return None
        with open(f"{self.checkout}/launcher/{name}", encoding="utf-8") as file:
            text = file.read()
        for mark, value in (("PYTHON", python), ("QMAIL", f"{self.directory}/qmail"),
                            ("ORIGINAL", f"{self.directory}/qmail/bin/{name}.orig"),
                            ("PROGRAM", f"{self.directory}/installed/{program}")):
            text = text.replace(f"@{mark}@", value)
        return write_program(f"{self.directory}/installed/{name}", text)

    def native_launcher(self):
        """Compiles the verifier's launcher as install.sh does.  Returns its path, or None."""
        source = f"{self.checkout}/launcher/qmail-dk-verify.c"
        path = f"{self.directory}/installed/qmail-dk-verify.native"
        names = {"QMAIL": f"{self.directory}/qmail", "LAUNCHER": self.verify_by_sh,
                 "PROGRAM": f"{self.directory}/installed/qmail_qfilter_verify.py"}
        for compiler in ("musl-gcc", "cc", "gcc", "clang") if os.path.exists(source) else ():
            if can([compiler, "-std=c99", "-O2", "-static",
                    *(f'-D{name}="{value}"' for name, value in names.items()),
                    "-o", path, source]):
                return path
        return None

    def script(self, name, commands):
        """Writes a script for sh.  Returns its path."""
        return write_program(f"{self.directory}/{name}", f"#!/bin/sh\n{commands}\n")

    def message(self, size, domain=DOMAIN):
        """Makes a message of about size bytes, if needed.  Returns its path."""
        path = f"{self.directory}/{domain}.{size}"
        if not os.path.exists(path):
            write_message(path, domain, size)
        return path

    def envelope(self):
        """Makes the envelope of a message as qmail-smtpd writes it.  Returns its path."""
        path = f"{self.directory}/envelope"
        with open(path, "wb") as file:
            file.write(b"Fsender@%b\0Trecipient@example.net\0\0" % DOMAIN.encode())
        return path

    def large_header(self):
        """Makes a message with 1 MB of header.  Returns its path."""
        path = f"{self.directory}/large_header"
        write_large_header(path, 10**6)
        return path

    def signed_message(self, size):
        """Makes the same, signed by our signer.  Returns its path."""
        path = f"{self.message(size)}.signed"
        if not os.path.exists(path):
            with open(self.message(size), "rb") as message, open(path, "wb") as output:
                subprocess.run(
                    [self.remote, "example.net", f"sender@{DOMAIN}", "recipient@example.net"],
                    stdin=message, stdout=output, check=True,
                    env={"DKSIGN": self.key_pattern, "DKREMOTE": self.deliver,
                         "PATH": os.environ.get("PATH", os.defpath)})
        return path


def write_large_header(path, size):
    """Writes a message with a header of size bytes: the most fields, and forged signatures.

    Each of its SIGNATURES covers all fields below it, which is the most work that a
    message of this size can cause.
    """
    signature = (f"DomainKey-Signature: a=rsa-sha1; c=nofws; d={DOMAIN}; s={SELECTOR}; q=dns;\n"
                 f" h=from:a; b={'A' * 340}\n").encode()
    top = signature * SIGNATURES + b"From: sender@%b\n%b\n" % (DOMAIN.encode(), SUBJECT)
    with open(path, "wb") as file:
        file.write(top + b"a:\n" * ((size - len(top)) // 3) + b"\nSome text.\n")


def give_to_signer(key):
    """Sets the mode of a private key, and its group where there is a qmail and we are root."""
    os.chmod(key, 0o600)
    with contextlib.suppress(KeyError):
        group = pwd.getpwnam("qmailr").pw_gid
        if os.geteuid() == 0:
            os.chown(key, -1, group)
            os.chmod(key, 0o640)


def install(directory, python, checkout):
    """Copies the programs of a checkout as install.sh does, and compiles them."""
    installed = f"{directory}/installed"
    shutil.copytree(f"{checkout}/lib", f"{installed}/lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for program in ("qmail_remote_dk.py", "qmail_qfilter_verify.py"):
        shutil.copy(f"{checkout}/{program}", installed)
    subprocess.run([python, "-m", "compileall", "-q", installed], check=True)


def write_program(path, text):
    """Writes an executable file.  Returns its path."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path


def write_message(path, domain, size):
    """Writes a message of about size bytes, with text and an attachment."""
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
    """Returns a path of python that has the verifier's packages: .venv's, its own, or None."""
    for candidate in (ENVIRONMENT, python):
        if os.path.realpath(candidate) == os.path.realpath(python) and can(
                [candidate, "-c", "import dkim, dns.resolver"]):
            return candidate
    return None


def with_dkimpy():
    """Returns an interpreter that has dkimpy: .venv's, the running one, or None."""
    for python in (ENVIRONMENT, sys.executable):
        if can([python, "-c", "import dkim"]):
            return python
    return None


def can(command):
    """Returns whether a command exists and succeeds."""
    try:
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
