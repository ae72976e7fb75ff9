# SPDX-License-Identifier: MIT
"""A trial delivery: trial.py RELEASE STAGING QMAIL LAUNCHER [--verify] [--resident] [USER]...

Sends nothing.  The signer's user signs a message of a domain that doesn't exist,
with a key made for the trial and the control files of this qmail; a stand-in for
the original qmail-remote prints the message that it gets.  With --verify, the
signatures must also be good, and each USER must be able to run the verifier,
whose launcher is in STAGING, on the message.  With --resident, the resident
signer, whose launcher is in STAGING/trial/bin, must do the same.  If not, exits
1 with a line on descriptor 2.  STAGING must allow programs to be executed.
"""

import hashlib      # noqa: F401, first: lib.crypto starts OpenSSL without the digests' names
import os
import pathlib
import subprocess
import sys
import time

RELEASE, STAGING, QMAIL, LAUNCHER = map(pathlib.Path, sys.argv[1:5])
VERIFY, RESIDENT = ("--" + word in sys.argv[5:] for word in ("verify", "resident"))
USERS = [word for word in sys.argv[5:] if not word.startswith("--")]
sys.path.insert(0, str(RELEASE))

from lib import crypto, maillog      # noqa: E402
from lib.admin import records      # noqa: E402
from lib.lookup.answer import Answer      # noqa: E402

DOMAIN = "qmail-dk.invalid"
SELECTOR = "install"
REPORT, END = b"r\0K", b"\0"      # written by the stand-in before and after the message
SHELL = "/bin/sh"                # runs the launchers
ALL_BYTES = bytes(range(1, 256))
MESSAGE = (f"From: postmaster@{DOMAIN}\nTo: postmaster@{DOMAIN}\nSubject: trial\n\n"
           "This message is signed, and not sent.\n").encode()
# The stand-in writes the start of the report to 2: the trial fails if 2 is another file.
ORIGINAL = "#!/bin/sh\nprintf 'r\\0' >&2\nprintf K\ncat\nprintf '\\0'\n"
# Stands in for qmail-queue: the message must have the results on top.
QUEUE = "#!/bin/sh\ngrep '^Authentication-Results:' >/dev/null\n"
AS_USER = pathlib.Path(__file__).with_name("as_user.py")
LONGEST = 60        # seconds for a program


def main():
    check_shell()
    private_key = make_key(STAGING / "keys" / DOMAIN / SELECTOR)
    original = STAGING / "original"
    original.write_text(ORIGINAL)
    original.chmod(0o755)
    (STAGING / "message").write_bytes(MESSAGE)
    environment = {"PATH": os.environ["PATH"], "DKREMOTE": str(original),
                   "DKSIGN": f"{STAGING}/keys/%/{SELECTOR}", "DKMAY": "", maillog.TRIAL: "1"}
    record = records.key_text(private_key).encode()
    check(deliver(environment), record)
    for user in USERS:
        check_verifier(user)
    if RESIDENT:
        check(deliver_resident(STAGING / "trial", environment), record)


def check_shell():
    """Ends the process if sh does not pass on all bytes of an address.

    Tried without a locale, as qmail's programs run.
    """
    done = subprocess.run([SHELL, "-c", 'printf %s "$1"', "sh", ALL_BYTES], env={},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.stdout != ALL_BYTES:
        fail(f"{SHELL} ({os.path.realpath(SHELL)}) changes bytes above 127 of an address, as yash "
             "does in the C locale; remedy: make it another shell, such as dash")


def check(signed, record):
    """Ends the process unless signed (bytes) is MESSAGE with signatures.

    record: the text of the key record, bytes
    """
    if signed == MESSAGE:
        fail("the message came out unsigned")
    if not (signed.endswith(MESSAGE) and b"-Signature: " in signed[:-len(MESSAGE)]):
        fail(f"what came out is not the message with signatures: {printable(signed)}")
    if VERIFY:
        verify(signed, record)


def make_key(path):
    """Writes a new private key, used only for the trial.  Returns a crypto.PrivateKey."""
    path.parent.mkdir(parents=True)
    pem = crypto.generate_private_key("rsa", crypto.RSA_LEAST)
    path.write_bytes(pem)
    return crypto.load_private_key(pem)


def deliver(environment):
    """Runs the launcher as qmail-rspawn does.  Returns the message that is sent, bytes."""
    with open(STAGING / "message", "rb") as message:
        done = run([LAUNCHER, DOMAIN, f"postmaster@{DOMAIN}", f"postmaster@{DOMAIN}"],
                   environment, stdin=message)
    return between(REPORT, done, END)


def deliver_resident(home, environment):
    """Runs the resident signer as qmail-send does, for one delivery; returns the same.

    home: directory of a qmail made for the trial, with the control files of the real one
    """
    (home / "queue" / "mess" / "0").mkdir(parents=True)
    (home / "queue" / "mess" / "0" / "1").write_bytes(MESSAGE)
    (home / "control").symlink_to(QMAIL / "control")
    done = run([home / "bin" / "qmail-rspawn"], environment,
               input=f"\0000/1\0postmaster@{DOMAIN}\0postmaster@{DOMAIN}\0".encode())
    concurrency = done.stdout[:1]
    return between(concurrency + b"\0K", done, END)


def check_verifier(user):
    """Ends the process unless a user can run the verifier on the signed message."""
    queue = STAGING / "queue"
    queue.write_text(QUEUE)
    queue.chmod(0o755)
    # DNS queries for the keys stay on this host; any answer gives a result.
    environment = {"PATH": os.environ["PATH"], "DKQUEUE": str(queue), "DKVERIFY": "-",
                   "DKSERVER": "no", "DNSCACHEIP": "127.0.0.1", "DKTIMEOUT": "1"}
    read_end, write_end = os.pipe()
    os.write(write_end, b"F\0Tpostmaster\0\0")
    os.close(write_end)
    become = [sys.executable, "-IS", AS_USER, user]
    with open(STAGING / "signed", "rb") as message:
        done = subprocess.run([*become, STAGING / "qmail-dk-verify.sh"], stdin=message,
                              stdout=read_end, stderr=subprocess.PIPE, env=environment,
                              timeout=LONGEST)
    os.close(read_end)
    if done.returncode:
        fail(f"the verifier, run by {user}, ended with {done.returncode} and said: "
             f"{printable(done.stderr)}; remedy: see that {user} may enter {RELEASE} and the "
             "directories of Python and its packages, or take another --prefix or --python")


def run(command, environment, **options):
    """Runs a command as the signer's user.  Returns a subprocess.CompletedProcess."""
    become = [sys.executable, "-IS", AS_USER, QMAIL / "queue" / "lock" / "tcpto"]
    return subprocess.run([*become, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment, timeout=LONGEST, **options)


def between(start, done, end):
    """Returns what a program wrote between two texts, bytes; ends the process if it failed."""
    if done.returncode or not (done.stdout.startswith(start) and done.stdout.endswith(end)):
        fail(f"exit code {done.returncode}, report: {printable(done.stdout)}")
    return done.stdout[len(start):-len(end)]


def verify(signed, record):
    """Ends the process unless all signatures of a message are good.

    signed: the message; record: the text of the key record; bytes
    """
    from lib import packages
    packages.add_site_packages()
    from lib.lookup import resolver      # noqa: F401, to show that it can be imported
    from lib.mail import message
    from lib.verifying import examination
    from lib.verifying.report import Terms
    (STAGING / "signed").write_bytes(signed)
    fd = os.open(STAGING / "signed", os.O_RDONLY)
    header, body = message.split(message.chunks(fd))
    examined = examination.examine(header, body, Terms(crypto.RSA_LEAST),
                                  lambda name, kind: Answer("found", [record]), int(time.time()))
    for result in examined.results:
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
    except Exception as trouble:    # one line for any error; nothing is switched on then
        fail(f"{type(trouble).__name__}: {trouble}")
