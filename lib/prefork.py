# SPDX-License-Identifier: MIT
"""Worker processes that serve the connections to one listening socket.

A connection that crashes its worker, or keeps it too long, takes nothing with
it but that worker, which is replaced.  The parent serves none, so it lives.

TERM ends all once the connections under way are served; HUP replaces all
workers by new ones, as they come free.
"""

import os
import resource
import signal
import socket
import struct
import time

from . import maillog
from .errors import Trouble

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

LONGEST = 3             # seconds that a connection may take, by the clock
MEMORY = 256 * 1024 * 1024  # bytes of address space; see restrict()
MOST_CONNECTIONS = 10_000   # of one worker, against leaks
IDLE = 5                # seconds after which a worker looks whether its parent lives
PAUSE = 0.1             # seconds before a worker that failed is replaced


class Leave(Exception):
    """A worker is told to end, and serves nobody just now."""


class Workers:
    """The workers of a listening socket.

    number: how many there are to be
    prepare: function that loads what workers need -> function that serves a
        connected socket; called at once, and at HUP.  May raise Trouble
    """

    def __init__(self, listening, number, prepare):
        self.listening = listening
        self.number = number
        self.prepare = prepare
        self.serve = prepare()
        self.serving = set()    # process numbers
        self.leaving = set()

    def run(self):
        """Returns after TERM.  Raises Trouble if no worker can be started."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.fill()
        maillog.tell(f"{self.number} workers are ready")
        while True:
            number = signal.sigwait(SIGNALS)
            if number == signal.SIGCHLD:
                self.collect()
                self.fill()
            elif number == signal.SIGHUP:
                self.renew()
            else:
                break
        self.listening.close()  # who waits there is told so
        self.dismiss()
        while self.leaving:
            self.forget(*os.waitpid(-1, 0))

    def renew(self):
        """New workers, with the settings as they are now."""
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
        """Forgets the workers that have ended."""
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
        while len(self.serving) < self.number:
            try:
                process = os.fork()
            except OSError as error:
                raise Trouble(f"unable to start a worker: {error.strerror}") from error
            if not process:
                work_and_exit(self.listening, self.serve)
            self.serving.add(process)


def work_and_exit(listening, serve):
    """A worker, from its start to its end."""
    code = 1
    try:
        restrict()
        work(listening, serve)
        code = 0
    except BaseException as trouble:    # the one place where a worker's trouble ends
        maillog.tell(f"worker {os.getpid()}: {type(trouble).__name__}: {trouble}")
    finally:
        os._exit(code)


def restrict():
    """Takes from this process what no connection needs.

    The limit on memory is one on address space, so it counts the libraries as
    well: 30 MiB.  The header of 1 MB with the most fields takes 110 MiB.
    """
    for limit, value in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0),
                         (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_NOFILE, 32)):
        _, most = resource.getrlimit(limit)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))


def work(listening, serve):
    """Serves one connection after the other, until told to end."""
    parent = os.getppid()
    signal.signal(signal.SIGTERM, leave)
    # Of many that wait in accept() the kernel wakes one, but of those in poll() all.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", IDLE, 0))
    for _ in range(MOST_CONNECTIONS):
        try:
            connection = next_connection(listening, parent)
        except Leave:
            return
        # SIGALRM kills, whatever the worker is at.
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        with connection:
            serve(connection)
        signal.setitimer(signal.ITIMER_REAL, 0)


def next_connection(listening, parent):
    """The next connected socket.  Raises Leave after TERM, or if the parent is gone."""
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
