# SPDX-License-Identifier: MIT
"""A dry delivery through a launcher: trial.py RELEASE STAGING QMAIL LAUNCHER [--verify]

Nothing is sent.  A message of a domain that doesn't exist is signed with a key
made for it, by the signer's user, under the control files of this qmail; a
stand-in for the original shows what it gets.  With --verify the signatures
must be found good, too.  One line on descriptor 2 and exit code 1 where that
does not come out.  STAGING: a directory that may hold programs.
"""

import hashlib      # noqa: F401, before lib.crypto starts OpenSSL without the digests' names
import os
import pathlib
import subprocess
import sys
import time

RELEASE, STAGING, QMAIL, LAUNCHER = map(pathlib.Path, sys.argv[1:5])
VERIFY = "--verify" in sys.argv[5:]
sys.path.insert(0, str(RELEASE))

from lib import admin_records, crypto       # noqa: E402
from lib.results import TxtAnswer           # noqa: E402

DOMAIN = "qmail-dk.invalid"
SELECTOR = "install"
REPORT = b"r\0Kaccepted\n\0"
MESSAGE = (f"From: postmaster@{DOMAIN}\nTo: postmaster@{DOMAIN}\nSubject: trial\n\n"
           "This message is signed, and not sent.\n").encode()
ORIGINAL = "#!/bin/sh\nprintf 'r\\0Kaccepted\\n\\0'\nexec cat\n"
LONGEST = 60        # seconds


def main():
    private_key = make_key(STAGING / "keys" / DOMAIN / SELECTOR)
    original = STAGING / "original"
    original.write_text(ORIGINAL)
    original.chmod(0o755)
    (STAGING / "message").write_bytes(MESSAGE)
    signed = deliver({"PATH": os.environ["PATH"], "DKREMOTE": str(original),
                      "DKSIGN": f"{STAGING}/keys/%/{SELECTOR}"})
    if signed == MESSAGE:
        fail("the message came out unsigned")
    if not (signed.endswith(MESSAGE) and b"-Signature: " in signed[:-len(MESSAGE)]):
        fail(f"what came out is not the message with signatures: {printable(signed)}")
    if VERIFY:
        verify(signed, admin_records.key_text(private_key).encode())


def make_key(path):
    """A new private key, good for nothing else, in a file -> crypto.PrivateKey."""
    path.parent.mkdir(parents=True)
    pem = crypto.generate_private_key("rsa", crypto.RSA_LEAST)
    path.write_bytes(pem)
    return crypto.load_private_key(pem)


def deliver(environment):
    """Runs the launcher as qmail-rspawn does -> what came out for the message."""
    become = [sys.executable, "-IS", pathlib.Path(__file__).with_name("as_signer.py"), QMAIL]
    with open(STAGING / "message", "rb") as message:
        done = subprocess.run([*become, LAUNCHER, DOMAIN, f"postmaster@{DOMAIN}",
                               f"postmaster@{DOMAIN}"], stdin=message, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=environment, timeout=LONGEST)
    if done.returncode or not done.stdout.startswith(REPORT):
        fail(f"exit code {done.returncode}, report: {printable(done.stdout)}")
    return done.stdout[len(REPORT):]


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
