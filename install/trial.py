# SPDX-License-Identifier: MIT
"""A dry delivery: trial.py RELEASE STAGING QMAIL LAUNCHER [--verify] [--resident]

Nothing is sent.  A message of a domain that doesn't exist is signed with a key
made for it, by the signer's user, under the control files of this qmail; a
stand-in for the original shows what it gets.  With --verify the signatures
must be found good, too; with --resident the resident signer, whose launcher is
in STAGING/trial/bin, must do the same.  One line on descriptor 2 and exit code 1 where that
does not come out.  STAGING: a directory that may hold programs.
"""

import hashlib      # noqa: F401, before lib.crypto starts OpenSSL without the digests' names
import os
import pathlib
import subprocess
import sys
import time

RELEASE, STAGING, QMAIL, LAUNCHER = map(pathlib.Path, sys.argv[1:5])
VERIFY, RESIDENT = ("--" + word in sys.argv[5:] for word in ("verify", "resident"))
sys.path.insert(0, str(RELEASE))

from lib import admin_records, crypto       # noqa: E402
from lib.results import TxtAnswer           # noqa: E402

DOMAIN = "qmail-dk.invalid"
SELECTOR = "install"
REPORT, END = b"r\0K", b"\0"      # of the stand-in, and the message between them
MESSAGE = (f"From: postmaster@{DOMAIN}\nTo: postmaster@{DOMAIN}\nSubject: trial\n\n"
           "This message is signed, and not sent.\n").encode()
ORIGINAL = "#!/bin/sh\nprintf 'r\\0K'\ncat\nprintf '\\0'\n"
LONGEST = 60        # seconds


def main():
    private_key = make_key(STAGING / "keys" / DOMAIN / SELECTOR)
    original = STAGING / "original"
    original.write_text(ORIGINAL)
    original.chmod(0o755)
    (STAGING / "message").write_bytes(MESSAGE)
    environment = {"PATH": os.environ["PATH"], "DKREMOTE": str(original),
                   "DKSIGN": f"{STAGING}/keys/%/{SELECTOR}"}
    record = admin_records.key_text(private_key).encode()
    check(deliver(environment), record)
    if RESIDENT:
        check(deliver_resident(STAGING / "trial", environment), record)


def check(signed, record):
    """Ends the process unless it is the MESSAGE (bytes), signed.  record: of the key, bytes"""
    if signed == MESSAGE:
        fail("the message came out unsigned")
    if not (signed.endswith(MESSAGE) and b"-Signature: " in signed[:-len(MESSAGE)]):
        fail(f"what came out is not the message with signatures: {printable(signed)}")
    if VERIFY:
        verify(signed, record)


def make_key(path):
    """A new private key, good for nothing else, in a file -> crypto.PrivateKey."""
    path.parent.mkdir(parents=True)
    pem = crypto.generate_private_key("rsa", crypto.RSA_LEAST)
    path.write_bytes(pem)
    return crypto.load_private_key(pem)


def deliver(environment):
    """Runs the launcher as qmail-rspawn does -> what came out for the message."""
    with open(STAGING / "message", "rb") as message:
        done = run([LAUNCHER, DOMAIN, f"postmaster@{DOMAIN}", f"postmaster@{DOMAIN}"],
                   environment, stdin=message)
    return between(REPORT, done, END)


def deliver_resident(home, environment):
    """Runs the resident signer as qmail-send does, for one delivery -> the same.

    home: of a qmail made for it, with the control files of the real one
    """
    (home / "queue" / "mess" / "0").mkdir(parents=True)
    (home / "queue" / "mess" / "0" / "1").write_bytes(MESSAGE)
    (home / "control").symlink_to(QMAIL / "control")
    done = run([home / "bin" / "qmail-rspawn"], environment,
               input=f"\0000/1\0postmaster@{DOMAIN}\0postmaster@{DOMAIN}\0".encode())
    concurrency = done.stdout[:1]
    return between(concurrency + b"\0K", done, END)


def run(command, environment, **options):
    """Runs a command as the signer's user -> subprocess.CompletedProcess."""
    become = [sys.executable, "-IS", pathlib.Path(__file__).with_name("as_signer.py"), QMAIL]
    return subprocess.run([*become, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment, timeout=LONGEST, **options)


def between(start, done, end):
    """What a program wrote between two texts."""
    if done.returncode or not (done.stdout.startswith(start) and done.stdout.endswith(end)):
        fail(f"exit code {done.returncode}, report: {printable(done.stdout)}")
    return done.stdout[len(start):-len(end)]


def verify(signed, record):
    """Ends the process unless all signatures of a message (bytes) are good; record: bytes."""
    from lib import dependencies
    dependencies.add_site_packages()
    from lib import inbound, message, resolver      # noqa: F401, that it can be imported
    (STAGING / "signed").write_bytes(signed)
    fd = os.open(STAGING / "signed", os.O_RDONLY)
    header, body = message.split(message.chunks(fd))
    examination = inbound.examine(header, body, inbound.Limits(crypto.RSA_LEAST, False),
                                  lambda name: TxtAnswer("found", [record]), int(time.time()))
    for result in examination.results:
        if result.status != "pass":
            fail(f"its own signature does not verify: {result.protocol}: {result.reason}")


def printable(data):
    text = " ".join(data.decode("ascii", "replace").replace("\0", " ").split())
    return text[:300] or "nothing"


def fail(reason):
    sys.exit(f"install.sh: the trial failed: {reason}")


if __name__ == "__main__":
    try:
        main()
    except Exception as trouble:    # one line, whatever it is: then nothing is switched on
        fail(f"{type(trouble).__name__}: {trouble}")
