# SPDX-License-Identifier: MIT
"""Lines for the mail log, by syslog; where it is missing, only the line is lost."""

LONGEST = 900   # bytes: what syslog daemons take in one datagram line


def printable(text):
    """text (str) on one line of ASCII, without control characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:LONGEST])


def info(text):
    import syslog   # 1 ms, which a message that needs no line does not pay
    write(syslog.LOG_INFO, text)


def warn(text):
    import syslog
    write(syslog.LOG_WARNING, "warning: " + text)


def write(priority, text):
    import syslog
    syslog.openlog("qmail-remote-dk", syslog.LOG_PID, syslog.LOG_MAIL)
    syslog.syslog(priority, printable(text))
