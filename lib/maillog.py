# SPDX-License-Identifier: MIT
"""Writes lines to the mail log; if one can't be written, only that line is lost.

The signer writes to syslog, because its descriptor 2 is the delivery report.  The
verifier writes to descriptor 2, which the log service of tcpserver reads.
"""

import _stat as stat       # the half in C; stat itself adds one in Python
import posix
import sys
import time

from . import process

LONGEST = 900   # bytes: a line that syslog daemons accept in one datagram

# A syslog daemon that no longer accepts lines must not delay mail.
PATIENCE = 0.5  # seconds for each of the two attempts that syslog(3) makes
SILENCE = 60    # seconds without any line after an attempt took longer

# Set in the environment of a trial, such as qmail-dk check makes: its message is no mail.
TRIAL = "QMAIL_DK_TRIAL"

silent_until = 0.0  # time.monotonic()
opened = False      # whether syslog(3) knows the program's name


def printable(text):
    """Returns at most LONGEST characters of text (str), as one line of printable ASCII.

    "?" replaces every other character.
    """
    text = text[:LONGEST]
    if text.isascii() and text.isprintable():
        return text     # 50 times as fast
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def info(text):
    """Writes a line to syslog at the level "info"."""
    import syslog   # imported here because it costs 1 ms, and many messages need no line
    write(syslog.LOG_INFO, text)


def warn(text):
    """Writes a line about an error to syslog.  text: the reason and the remedy"""
    import syslog
    write(syslog.LOG_WARNING, "warning: " + text)


def tell(text):
    """Writes a line to descriptor 2, or to syslog if descriptor 2 is a socket.

    Under inetd that socket is the SMTP connection, and the client would take our
    line for the server's.
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
    """Writes a line to syslog; writes none in a trial, or for SILENCE seconds after it was slow."""
    global opened, silent_until
    if TRIAL.encode() in posix.environ or time.monotonic() < silent_until:
        return
    import syslog
    if not opened:
        syslog.openlog(program(), syslog.LOG_PID, syslog.LOG_MAIL)
        opened = True
    if process.takes_longer(PATIENCE, syslog.syslog, priority, printable(text)):
        silent_until = time.monotonic() + SILENCE


def program():
    """Returns the program's name in the log, such as qmail-remote-dk for qmail_remote_dk.py."""
    return sys.argv[0].rpartition("/")[2].removesuffix(".py").replace("_", "-")
