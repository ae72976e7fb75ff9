# SPDX-License-Identifier: MIT
"""Asks OpenDMARC how it reads Authentication-Results: drives the milter as an MTA does.

Its parser is in no library.  But the milter writes the results that it believes to
be its own host's into a history file, which shows how it read them.  One milter
answers all questions, and ends when this process does, in whatever way.
"""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

CONFIGURATION = """AuthservID {authserv_id}
Socket local:{directory}/socket
HistoryFile {directory}/history
RecordAllMessages true
TestDNSData {directory}/dns
PidFile {directory}/pid
UMask 077
"""
DNS = "_dmarc.example.com v=DMARC1;p=none\n"    # so that the milter asks no server

# Ends the milter when its own standard input ends, that is, when we do.
KEEPER = '''trap "" INT
opendmarc -f -c "$0/conf" </dev/null >"$0/output" 2>&1 &
cat >/dev/null
kill $!
wait
rm -rf "$0"'''

IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

VERSION, ACTIONS, NO_STEP_LEFT_OUT = 6, 0x1ff, 0    # for the milter protocol's negotiation
CLIENT = b"localhost\0004" + struct.pack("!H", 25) + b"192.0.2.1\0"
FINAL = b"actrd"    # accept, continue, tempfail, reject, discard: other replies change the message
MOST_RESULTS = 12   # in a field; the milter has room for 16
MOST_QUESTIONS = 500_000    # to one milter, since each makes it grow a little


def path():
    """Returns the path of the milter, None if it is not installed."""
    return shutil.which("opendmarc", path=os.environ.get("PATH", "") + ":/usr/sbin")


class OpenDmarc:
    """A running milter.

    authserv_id: str, the name that it takes for its own
    asked: number of questions that it has answered
    """

    def __init__(self, authserv_id):
        self.asked = 0
        self.directory = tempfile.mkdtemp(prefix="opendmarc", dir=IN_MEMORY)
        for name, text in (("dns", DNS), ("history", ""), ("conf", CONFIGURATION.format(
                authserv_id=authserv_id, directory=self.directory))):
            with open(os.path.join(self.directory, name), "w") as file:
                file.write(text)
        self.keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, self.directory], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.path.dirname(path()) + ":/usr/bin:/bin"})
        self.history = os.open(os.path.join(self.directory, "history"), os.O_RDWR)
        self.socket = self.connected()
        self.replies = self.socket.makefile("rb")
        self.socket.sendall(packet(b"O", struct.pack("!III", VERSION, ACTIONS, NO_STEP_LEFT_OUT)))
        self.reply()
        self.socket.sendall(packet(b"C", CLIENT))
        self.reply()

    def connected(self):
        """Waits for the milter.  Returns a socket to it."""
        patience = time.monotonic() + 60
        while True:
            found = socket.socket(socket.AF_UNIX)
            try:
                found.connect(os.path.join(self.directory, "socket"))
                return found
            except OSError:
                found.close()
                if time.monotonic() > patience or self.keeper.poll() is not None:
                    raise
                time.sleep(0.02)

    def end(self):
        """Lets the milter end, which takes a while."""
        self.replies.close()
        self.socket.close()
        os.close(self.history)
        self.keeper.stdin.close()

    def reply(self):
        """Returns (code, text) of the next reply, bytes."""
        size, = struct.unpack("!I", self.replies.read(4))
        text = self.replies.read(size)
        return text[:1], text[1:]

    def takes_for_its_own(self, value):
        """Returns whether the milter believes a DKIM result in a field with a value (bytes).

        A result without "dkim=" and "header.d=" does not show.  Returns False without
        a question if there are more results than the milter has room for.
        """
        return value.count(b"=") <= MOST_RESULTS and b"\ndkim " in self.history_of(value)

    def history_of(self, value):
        """Returns what the milter writes into its history (bytes) about a field with a value.

        There must be at most MOST_RESULTS results.
        """
        self.asked += 1
        self.socket.sendall(
            packet(b"M", b"<a@example.com>\0") + header("From", b"a@example.com")
            + header("Authentication-Results", value) + packet(b"E"))
        for _ in ("M", "L", "L"):
            self.reply()
        while self.reply()[0] not in FINAL:
            pass
        history = os.pread(self.history, 65536, 0)
        assert history.startswith(b"job "), history
        os.ftruncate(self.history, 0)
        return history


def packet(code, text=b""):
    return struct.pack("!I", len(text) + 1) + code + text


def header(name, value):
    """Returns the packet of a header field, whose value ends at the first NUL."""
    return packet(b"L", name.encode() + b"\0" + value.partition(b"\0")[0] + b"\0")
