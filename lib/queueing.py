# SPDX-License-Identifier: MIT
"""The contracts of qmail-queue and of qmail-qfilter with their callers.

A queue program has the message on descriptor 0 and the envelope on 1, which
stays unread for the program that we become.  A filter has the message on 0
and writes it to 1, or leaves that empty if nothing changes.  Both answer with
qmail-queue's exit codes (qmail_close() in qmail.c): qmail-qfilter passes a
filter's on, but takes 99 for "drop it", which is never ours to say.
"""

import posix
import stat

from . import process
from .errors import SettingTrouble
from .settings import QMAIL

QUEUE = "--queue"       # the two ways to be run, and the arguments that force one
FILTER = "--filter"

ACCEPTED = 0
REJECTED = 31           # "mail server permanently rejected message"
DEFERRED = 71           # "mail server temporarily rejected message"
REASON_GIVEN = 82       # notqmail >= 1.09: the SMTP reply is on descriptor REASON_FD
REASON_FD = 6
REASON_LONGEST = 255    # bytes

VERDICTS = {ACCEPTED: "accepted", REJECTED: "rejected", DEFERRED: "deferred"}

# What the sending side is told of a result that is refused.
REASONS = {
    "A": "it has a good signature",
    "B": "its signature does not match it",
    "C": "it has no signature",
    "D": "the public key of its signature is not in the DNS",
    "E": "the public key of its signature can't be used",
    "F": "the public key of its signature could not be looked up in the DNS",
    "G": "its signature field is malformed",
    "H": "there are no resources to verify its signature",
    "I": "its signature field has values that can't be used",
    "J": "the public key of its signature has been revoked",
    "K": "its signature could not be verified",
}

# In the environment of what we become: this program has already run.
PASSED = "QMAIL_QFILTER_VERIFY"


def way_to_run(arguments):
    """QUEUE or FILTER.  Raises SettingTrouble where it can't be told.

    qmail-qfilter's descriptor 1 is an empty file, open for reading as well.
    What qmail-qfilter runs as its queue program (QQF_QMAILQUEUE) gets such a
    file, too, but with the envelope in it.  Closed, it is neither's, and the
    copy of the message might get that number.
    """
    if arguments and arguments not in ([QUEUE], [FILTER]):
        raise SettingTrouble(f"the only arguments are {QUEUE} or {FILTER}, to force one")
    try:
        state = posix.fstat(1)
    except OSError as error:
        raise SettingTrouble(f"descriptor 1: {error.strerror}; a queue program has "
                             "the envelope there") from error
    if arguments:
        return arguments[0]
    if stat.S_ISSOCK(state.st_mode) or stat.S_ISFIFO(state.st_mode) and is_readable(1):
        return QUEUE
    access = access_mode(1)
    if access == posix.O_RDWR and stat.S_ISREG(state.st_mode):
        return QUEUE if state.st_size else FILTER
    if access == posix.O_RDONLY:
        return QUEUE
    raise SettingTrouble("descriptor 1 is neither an envelope to read nor qmail-qfilter's "
                         f"file; {FILTER} writes the verified message to it")


def is_readable(fd):
    """Whether one may read from fd: what fcntl would tell, which takes 0.3 ms to import."""
    try:
        posix.read(fd, 0)
    except OSError:
        return False
    return True


def access_mode(fd):
    """posix.O_RDONLY, O_WRONLY or O_RDWR.  Raises OSError."""
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_GETFL) & posix.O_ACCMODE


def occupy_standard_error():
    """Opens descriptor 2 where it is closed: else the message's copy might get it."""
    try:
        posix.fstat(2)
    except OSError:
        posix.open("/dev/null", posix.O_WRONLY)   # 0 and 1 are open: this is the lowest


def refuse_loop(way, environment):
    """Raises SettingTrouble if the queue program that we became led back here."""
    if way == QUEUE and PASSED in environment:
        raise SettingTrouble("DKQUEUE leads back to this program, not to the original qmail-queue")


def queue_program(settings):
    """DKQUEUE, else qmail-queue, or its original where this program replaced it.

    Then bin/qmail-queue is a script that names this one (or a link to it): one
    can read it, unlike qmail's own, which is set-user-ID and for execution only.
    """
    if settings["DKQUEUE"]:
        return settings["DKQUEUE"]
    path = QMAIL + "/bin/qmail-queue"
    try:
        with open(path, "rb") as file:
            replaced = b"qmail_qfilter_verify" in file.read(4096)
    except OSError:
        replaced = False
    return path + ".orig" if replaced else path


def verdict(letters, letter):
    """ACCEPTED, REJECTED or DEFERRED for a result's letter, by DKVERIFY's letters."""
    if letter in letters:
        return REJECTED
    return DEFERRED if letter.lower() in letters else ACCEPTED


def refuse(code, report, settings):
    """The exit code for a message that is REJECTED or DEFERRED, after giving its
    reason to the caller where DKREASON is on.  Raises SettingTrouble.
    """
    if not settings.is_on("DKREASON") or not takes_reason():
        return code
    reason = REASONS[report.letter] + (f" ({', '.join(report.domains)})" if report.domains else "")
    # RFC 7372 section 3.1: no passing signature was found.
    start, end = ("D", " (#5.7.20)") if code == REJECTED else ("Z", " (#4.7.20)")
    text = f"{start}message refused by DKIM or DomainKeys policy: {reason}"
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    try:
        posix.write(REASON_FD, (text[:REASON_LONGEST - len(end)] + end).encode())
    except OSError:
        return code
    return REASON_GIVEN


def takes_reason():
    """Whether descriptor REASON_FD is a pipe to write to, as notqmail makes it."""
    try:
        return (stat.S_ISFIFO(posix.fstat(REASON_FD).st_mode)
                and access_mode(REASON_FD) == posix.O_WRONLY)
    except OSError:
        return False


def log_line(way, code, words):
    """What became of a message, for the log.

    qp is as in qmail-send's log: the number of the process that qmail-queue is.
    words: of Report
    """
    process_id = posix.getpid() if way == QUEUE else posix.getppid()
    return f"qp {process_id} {VERDICTS[code]}: {words}"


def hand_on(way, fd, settings):
    """Lets the accepted message of fd go its way -> exit code, unless we become DKQUEUE.

    fd: what came (0), or the new message: descriptor 1 for a FILTER.  Raises SettingTrouble.
    """
    if way == QUEUE:
        become_queue_program(queue_program(settings), fd)
    return ACCEPTED


def become_queue_program(path, fd):
    """Runs the queue program in our place, with the message of fd.

    Returns only by raising SettingTrouble.
    """
    if fd != 0:
        process.rewind(fd)
        posix.dup2(fd, 0)
    process.restore_signals()
    posix.putenv(PASSED, "1")
    try:
        posix.execv(path, [path])
    except OSError as error:
        raise SettingTrouble(f"unable to run {path}: {error.strerror}; DKQUEUE must be "
                             "the queue program for verified mail") from error
