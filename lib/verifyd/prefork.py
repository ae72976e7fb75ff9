# SPDX-License-Identifier: MIT
"""Worker processes that serve the connections to one listening socket.

A connection that crashes its worker, or takes too long, ends only that worker, which is
replaced.  The parent serves no connections, so it survives.  Where the system allows no
more processes, those that are there go on, and the parent tries again.

After TERM, all processes exit once the current connections are served.  After HUP, new
workers replace all others, which exit as they become idle.
"""

import os
import resource
import signal
import socket
import struct
import time

from .. import maillog
from ..errors import Trouble
from ..growth import Growth, in_addresses

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

LONGEST = 3             # seconds of real time that a connection may take
MEMORY = 256 * 1024 * 1024  # bytes of address space that a worker may add; see restrict()
MOST_CONNECTIONS = 10_000   # of one worker, which limits leaks
IDLE = 5                # seconds after which an idle worker checks that its parent lives
PAUSE = 0.1             # seconds before a worker that failed is replaced
RETRY = 5               # seconds until a worker is started that could not be


class Leave(Exception):
    """Raised in an idle worker that has been told to exit."""


class Workers:
    """The workers of a listening socket.

    number: how many to keep running
    prepare: function that loads what workers need, and returns a function that serves a
        connected socket; called at once, and after HUP.  May raise Trouble
    """

    def __init__(self, listening, number, prepare):
        self.listening = listening
        self.number = number
        self.prepare = prepare
        self.serve = prepare()
        self.serving = set()    # process numbers of the workers
        self.leaving = set()    # of those that have been told to exit
        self.lacks_some = False     # whether the log says that some can't be started

    def run(self):
        """Runs the workers until TERM.  Raises Trouble if there is none and none can be started."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # A supervisor may have it ignored; then no signal would report the end of a worker.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.fill()
        maillog.tell(f"{len(self.serving)} workers are ready")
        while True:
            number = self.next_signal()
            if number in (None, signal.SIGCHLD):
                self.collect()
                self.fill()
            elif number == signal.SIGHUP:
                self.renew()
            else:
                break
        self.listening.close()  # clients that wait there are told so
        self.dismiss()
        while self.leaving:
            self.forget(*os.waitpid(-1, 0))

    def next_signal(self):
        """Returns the next of SIGNALS; None after RETRY seconds if workers are missing.

        A timer of ours would end with that of maillog, which has SIGALRM for itself.
        """
        if not self.lacks_some:
            return signal.sigwait(SIGNALS)
        found = signal.sigtimedwait(SIGNALS, RETRY)
        return found and found.si_signo

    def renew(self):
        """Replaces the workers by new ones, with the settings as they are now."""
        try:
            self.serve = self.prepare()
        except Trouble as trouble:
            maillog.tell(f"nothing is changed: {trouble}")
            return
        self.dismiss()
        self.fill()
        maillog.tell("settings are read again")

    def dismiss(self):
        for process in self.serving:
            os.kill(process, signal.SIGTERM)
        self.leaving |= self.serving
        self.serving = set()

    def collect(self):
        """Removes the workers that have exited."""
        while self.serving | self.leaving:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            self.forget(process, status)

    def forget(self, process, status):
        code = os.waitstatus_to_exitcode(status)
        if code:
            maillog.tell(f"worker {process} "
                         + (f"was killed by signal {-code}" if code < 0 else "failed"))
            if process in self.serving:
                time.sleep(PAUSE)
        self.serving.discard(process)
        self.leaving.discard(process)

    def fill(self):
        """Starts the workers that are missing.  Raises Trouble as run()."""
        parent = os.getpid()    # before the fork: a worker may first run after its parent's end
        while len(self.serving) < self.number:
            try:
                process = os.fork()
            except OSError as error:
                self.do_with_fewer(f"unable to start a worker: {error.strerror}")
                return
            if not process:
                work_and_exit(self.listening, self.serve, parent)
            self.serving.add(process)
        if self.lacks_some:
            maillog.tell(f"all {self.number} workers run again")
            self.lacks_some = False

    def do_with_fewer(self, reason):
        """Goes on with the workers that there are; run() tries again.

        Without any, clients would wait in vain: raises Trouble(reason).
        """
        if not self.serving | self.leaving:
            raise Trouble(reason)
        if not self.lacks_some:
            maillog.tell(f"{reason}; {len(self.serving)} of {self.number} go on, and it tries "
                         "again; remedy: let its user have more processes (ulimit -u)")
            self.lacks_some = True


def work_and_exit(listening, serve, parent):
    """Runs a worker in this process, and exits."""
    code = 1
    try:
        restrict()
        work(listening, serve, parent)
        code = 0
    except BaseException as trouble:    # the only place that handles a worker's errors
        maillog.tell(f"worker {os.getpid()}: {type(trouble).__name__}: {trouble}")
    finally:
        os._exit(code)


def restrict():
    """Limits this process to the resources that a connection needs.

    The limit on memory applies to address space.  Of this a worker uses 30 MiB before its
    first message, but a free-threaded Python has 1 GiB for its objects by then, so only what
    a message adds can be limited.  A header of 1 MB with the most fields adds 80 MiB.
    """
    memory = in_addresses() + MEMORY
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0),
                         (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_NOFILE, 32)):
        _, most = resource.getrlimit(limit)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))


def work(listening, serve, parent):
    """Serves one connection after the other, until told to exit, grown too large, or an orphan.

    parent: number of the process that forks the workers
    """
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)       # whatever the parent inherited
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))
    limit_waits(listening)
    growth = Growth()
    for _ in range(MOST_CONNECTIONS):
        try:
            connection = next_connection(listening, parent)
        except Leave:
            return
        # SIGALRM kills the worker, whatever it is doing.
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        with connection:
            serve(connection)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if growth.is_too_much():
            return


def limit_waits(listening):
    """Has accept() raise BlockingIOError when IDLE seconds have passed.

    A timeout of accept() itself, not poll(): the kernel wakes only one process in accept(),
    but all in poll().  Its struct timeval has two longs, or, where longs have 32 bits and
    time_t has 64, two numbers of 64 bits.
    """
    option = socket.SOL_SOCKET, socket.SO_RCVTIMEO
    has_longs = len(listening.getsockopt(*option, 16)) == struct.calcsize("@ll")
    listening.setsockopt(*option, struct.pack("@ll" if has_longs else "@qq", IDLE, 0))


def next_connection(listening, parent):
    """Returns the next connected socket.  Raises Leave after TERM, or if the parent is gone."""
    while os.getppid() == parent:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        try:
            return listening.accept()[0]
        except BlockingIOError:     # IDLE seconds have passed
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    raise Leave


def leave(number, frame):
    raise Leave
