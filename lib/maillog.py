# SPDX-License-Identifier: MIT
"""Lines for the mail log; where they can't be written, only the line is lost.

The signer's go to syslog, for its descriptor 2 is the delivery report.  The
verifier's go to descriptor 2, which tcpserver's log service reads.
"""

import posix
import stat
import sys
import time

from . import process

LONGEST = 900   # bytes: what syslog daemons take in one datagram line

# A syslog daemon that takes no more lines must not hold up mail.
PATIENCE = 0.5  # seconds for each of the two attempts that syslog(3) makes
SILENCE = 60    # seconds for which no line is written once that was too short

terminal = False    # whether somebody who tries things reads all lines on descriptor 2
silent_until = 0    # time.monotonic()


def printable(text):
    """text (str) on one line of ASCII, without control characters."""
    text = text[:LONGEST]
    if text.isascii() and text.isprintable():
        return text     # 50 times as fast
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def info(text):
    """A line in syslog."""
    import syslog   # 1 ms, which a message that needs no line does not pay
    write(syslog.LOG_INFO, text)


def warn(text):
    """A line in syslog about trouble.  text: the reason and the remedy"""
    import syslog
    write(syslog.LOG_WARNING, "warning: " + text)


def tell(text):
    """A line on descriptor 2; to syslog where that is a socket.

    Under inetd the socket is the SMTP connection, where a line of ours would
    be taken for the server's.
    """
    line = f"{program()}: {printable(text)}\n".encode()
    try:
        if not stat.S_ISSOCK(posix.fstat(2).st_mode):
            posix.write(2, line)
            return
    except OSError:
        pass
    info(text)


def write(priority, text):
    """A line in syslog, or on descriptor 2 for a terminal; none while syslog is silent."""
    global silent_until
    if terminal:
        posix.write(2, f"{program()}: {printable(text)}\n".encode())
        return
    if time.monotonic() < silent_until:
        return
    import syslog
    syslog.openlog(program(), syslog.LOG_PID, syslog.LOG_MAIL)
    if process.takes_longer(PATIENCE, syslog.syslog, priority, printable(text)):
        silent_until = time.monotonic() + SILENCE


def program():
    """The name in the log: qmail_remote_dk.py is qmail-remote-dk."""
    return sys.argv[0].rpartition("/")[2].removesuffix(".py").replace("_", "-")
