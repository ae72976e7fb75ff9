# SPDX-License-Identifier: MIT
"""A trial of the verifier's launcher in C: trial_native.py RELEASE STAGING LAUNCHER [USER]...

Each USER, or without one the calling user, runs LAUNCHER on a message, with a server that
accepts it and a queue program that looks for the fields.  Exits 1 with a line on
descriptor 2 if one does not succeed.  STAGING must allow programs to be executed.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

RELEASE, STAGING, LAUNCHER = map(pathlib.Path, sys.argv[1:4])
USERS = sys.argv[4:]
sys.path.insert(0, str(RELEASE))

from lib.verifying import exchange      # noqa: E402

AUTHSERV_ID = exchange.TRIAL
FIELDS = (exchange.FIRST + AUTHSERV_ID + b";\n  dkim=none\n" + exchange.LAST + b"no signature\n")
FORGED = b"DomainKey-Status: good\n"
MESSAGE = b"From: postmaster@check.invalid\n" + FORGED + b"\nThis message is not sent.\n"
START = MESSAGE.index(FORGED)
ANSWER = b"%b C -\n%d-%d\n\nno signature\n%b" % (
    exchange.VERSION, START, START + len(FORGED), FIELDS)
EXPECTED = FIELDS + MESSAGE.replace(FORGED, b"")
ENVELOPE = b"Fpostmaster\0Tpostmaster\0\0"
QUEUE = "#!/bin/sh\ncmp -s - '{expected}' && exit 91\nexit 31\n"
QUEUED = 91     # no other program ends with it
AS_USER = pathlib.Path(__file__).with_name("as_user.py")
LONGEST = 10    # seconds for a run


def main():
    queue, expected = STAGING / "queue-native", STAGING / "expected"
    expected.write_bytes(EXPECTED)
    queue.write_text(QUEUE.format(expected=expected))
    queue.chmod(0o755)
    # Not in TMPDIR, which may be closed to others (pam_tmpdir): a socket's path must be short.
    place = tempfile.mkdtemp(prefix="qmail-dk-", dir="/tmp")
    try:
        os.chmod(place, 0o755)
        path = place + "/verify.sock"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(path)
        os.chmod(path, 0o666)
        listening.listen()
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        environment = {"PATH": os.environ["PATH"], "DKQUEUE": str(queue), "DKVERIFY": "-",
                       "DKAUTHSERVID": AUTHSERV_ID.decode(), "DKSERVER": path, "DKPOLICY": "no",
                       "DKDMARC": "off", "DKRSAMIN": "1024", "DKTIMEOUT": "20"}
        for user in USERS or [None]:
            run(user, environment)
    finally:
        shutil.rmtree(place)


def serve(listening):
    """Gives the answer to each request."""
    while True:
        connection = listening.accept()[0]
        with connection:
            connection.recv(exchange.LONGEST_REQUEST)
            connection.send(ANSWER)


def run(user, environment):
    """Ends the process unless a user (name, or None) can run the launcher."""
    read_end, write_end = os.pipe()
    os.write(write_end, ENVELOPE)
    os.close(write_end)
    become = [sys.executable, "-IS", AS_USER, user] if user else []
    done = subprocess.run([*become, LAUNCHER], input=MESSAGE, stdout=read_end,
                          stderr=subprocess.PIPE, env=environment, timeout=LONGEST)
    os.close(read_end)
    log = " ".join(done.stderr.decode("ascii", "replace").split())
    if done.returncode != QUEUED or not log.endswith("no signature; resident"):
        sys.exit(f"{LAUNCHER.name} ended with {done.returncode} and said: "
                 f"{log[-200:] or 'nothing'}")


if __name__ == "__main__":
    try:
        main()
    except Exception as trouble:    # one line for any error; the launcher in sh serves then
        sys.exit(f"{type(trouble).__name__}: {trouble}")
