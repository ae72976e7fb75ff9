# SPDX-License-Identifier: MIT
"""The contracts of qmail-queue and of qmail-qfilter with their callers.

A queue program reads the message from descriptor 0 and the envelope from 1; we leave
the envelope unread for the program that we become.  A filter reads the message from
0 and writes it to 1, or leaves 1 empty if nothing changes.  Both return exit codes of
qmail-queue (qmail_close() in qmail.c).  qmail-qfilter passes a filter's code on, but
99 makes it drop the message silently, so we never return that.
"""

import _stat as stat       # the half in C; stat itself adds one in Python
import posix

from .. import process
from ..errors import SettingTrouble
from ..settings import QMAIL

QUEUE = "--queue"       # the two ways to be run, and the options that force one
FILTER = "--filter"
NO_ANSWER = "--no-answer"       # the launcher in C adds it, and why the server gave no answer

ACCEPTED = 0
REJECTED = 31           # "mail server permanently rejected message"
DEFERRED = 71           # "mail server temporarily rejected message"
REASON_GIVEN = 82       # notqmail >= 1.09: the SMTP reply is on descriptor REASON_FD
REASON_FD = 6
REASON_LONGEST = 255    # bytes

LARGEST_LAUNCHER = 4 << 20     # bytes; that in C is linked with a C library

VERDICTS = {ACCEPTED: "accepted", REJECTED: "rejected", DEFERRED: "deferred"}


# Environment variable of the next program: how often this program has run; see process.passes().
PASSES = "QMAIL_QFILTER_VERIFY"


def way_to_run(arguments):
    """Returns QUEUE or FILTER.  Raises SettingTrouble if neither is certain.

    arguments: list of str.  qmail-qfilter's descriptor 1 is an empty file, open for
    reading and writing.  The queue program of qmail-qfilter (QQF_QMAILQUEUE) gets such a
    file too, but with the envelope in it.  A closed descriptor 1 is an error, because
    the copy of the message might get that number.
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
    """Returns whether fd is open for reading.  fcntl would show it too, but costs 0.3 ms."""
    try:
        posix.read(fd, 0)
    except OSError:
        return False
    return True


def access_mode(fd):
    """Returns posix.O_RDONLY, O_WRONLY or O_RDWR for fd.  Raises OSError."""
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_GETFL) & posix.O_ACCMODE


def occupy_standard_error():
    """Opens descriptor 2 if it is closed; otherwise the message's copy might get that number."""
    try:
        posix.fstat(2)
    except OSError:
        posix.open("/dev/null", posix.O_WRONLY)   # gets 2, the lowest: 0 and 1 are open


def count_pass(way, environment):
    """Counts this run in the environment of the program that we become.

    way: QUEUE or FILTER; environment: {str: str}.  Raises SettingTrouble if DKQUEUE keeps
    leading back here; a scanner there may send some mail of its own through QMAILQUEUE.
    """
    if way != QUEUE:
        return
    passes = process.passes(environment, PASSES)
    if passes >= process.MOST_PASSES:
        raise SettingTrouble("DKQUEUE leads back to this program, not to the original qmail-queue")
    posix.putenv(PASSES, str(passes + 1))


def queue_program(settings):
    """Returns the path of DKQUEUE, else of qmail's own qmail-queue.

    A relative DKQUEUE is below qmail's home, as for the older qmail-dk.  Raises
    SettingTrouble.
    """
    return settings.path("DKQUEUE", QMAIL) or original_program()


def original_program():
    """Returns the path of qmail-queue, or of its original if we replaced it.

    If it was replaced, bin/qmail-queue is a script that names this program, or a link to
    it.  It is readable then, unlike qmail's own, which is set-user-ID and only executable.
    """
    path = QMAIL + "/bin/qmail-queue"
    try:
        with open(path, "rb") as file:
            replaced = b"qmail_qfilter_verify" in file.read(LARGEST_LAUNCHER)
    except OSError:
        replaced = False
    return path + ".orig" if replaced else path


def verdict(letters, letter):
    """Returns ACCEPTED, REJECTED or DEFERRED.

    letters: of Settings.letters(); letter: the result's
    """
    if letter in letters:
        return REJECTED
    return DEFERRED if letter.lower() in letters else ACCEPTED


def refuse(code, reason, detail, settings):
    """Returns the exit code for a message to refuse; first writes the reason if DKREASON is on.

    code: REJECTED or DEFERRED; reason: str, for the sender
    detail: the last two numbers of the enhanced status code (RFC 3463 section 2), str
    Raises SettingTrouble.
    """
    if not settings.is_on("DKREASON") or not takes_reason():
        return code
    start, kind = ("D", 5) if code == REJECTED else ("Z", 4)
    end = f" (#{kind}.{detail})"
    text = "".join(c if " " <= c <= "~" else "?" for c in f"{start}message refused {reason}")
    try:
        posix.write(REASON_FD, (text[:REASON_LONGEST - len(end)] + end).encode())
    except OSError:
        return code
    return REASON_GIVEN


def takes_reason():
    """Returns whether descriptor REASON_FD is a pipe to write to, as notqmail makes it."""
    try:
        return (stat.S_ISFIFO(posix.fstat(REASON_FD).st_mode)
                and access_mode(REASON_FD) == posix.O_WRONLY)
    except OSError:
        return False


def log_line(way, code, words):
    """Returns the log line (str) with the verdict on a message.

    code: ACCEPTED, REJECTED or DEFERRED; words: of Report
    qp is the process number of qmail-queue, as in qmail-send's log.
    """
    process_id = posix.getpid() if way == QUEUE else posix.getppid()
    return f"qp {process_id} {VERDICTS[code]}: {words}"


def hand_on(way, fd, settings):
    """Passes on an accepted message: becomes the queue program, or returns the exit code.

    fd: 0 for the message as it came, else that of the new message, 1 for a FILTER
    Raises SettingTrouble.
    """
    if way == QUEUE:
        become_queue_program(queue_program(settings), fd)
    return ACCEPTED


def become_queue_program(path, fd):
    """Executes the queue program in this process, with the message of fd.

    Does not return; raises SettingTrouble if it can't be executed.
    """
    if fd != 0:
        process.rewind(fd)
        posix.dup2(fd, 0)
    process.restore_signals()
    try:
        posix.execv(path, [path])
    except OSError as error:
        raise SettingTrouble(f"unable to run {path}: {error.strerror}; DKQUEUE must be "
                             "the queue program for verified mail") from error
