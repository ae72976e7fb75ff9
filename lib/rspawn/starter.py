# SPDX-License-Identifier: MIT
"""Starts the original qmail-remote for qmail-rspawn's deliveries, several at a time.

posix_spawn(3) returns once the kernel has loaded the new program, which takes longer
than all else that qmail-rspawn does for a delivery, and os.posix_spawn() lets no other
thread of Python run meanwhile.  With one at a time, qmail-rspawn spends most of its time
in that wait, and half of the processors stay idle.  Through _ctypes, threads can wait
while qmail-rspawn goes on.

The threads only call posix_spawn(3) and tell what came of it.  Where they can't be had,
programs are started one at a time.
"""

import _queue
import _thread
import errno
import os
import signal
import sys

from .. import process

# Threads, at most as many as processors.  One at least must load programs while another waits
# for a processor.
FEWEST, MOST = 2, 4
STACK = 128 * 1024          # bytes of a thread's stack
LONGEST_START = 10          # seconds in which a thread says that it runs

# spawn.h of Linux
SET_DEFAULT_SIGNALS, SET_SIGNAL_MASK = 0x04, 0x08
LARGEST = 1024              # bytes; more than any of the C library's types for this has


class Starter:
    """Starts programs with an environment.

    environment: {str: str}
    blocked, default: signals that are blocked in the programs, and those that get their
    default action
    failed: function without arguments, called in a thread when a program is not started
    in_progress: number of start() calls whose result has not been taken
    """

    def __init__(self, environment, blocked, default, failed):
        self.environment = environment
        self.blocked = blocked
        self.default = default
        self.failed = failed
        self.in_progress = 0
        self.waiting = []
        self.orders = _queue.SimpleQueue()
        self.results = _queue.SimpleQueue()
        self.threads = self.start_threads() if sys.platform == "linux" else 0

    def start_threads(self):
        """Returns the number of threads that could be started."""
        started = 0
        # The threads inherit this: signals are for the main thread.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            spawn = Spawn(self.environment, self.blocked, self.default)
            _thread.stack_size(STACK)
            while started < max(FEWEST, min(os.cpu_count() or 1, MOST)):
                running = _queue.SimpleQueue()
                _thread.start_new_thread(self.work, (spawn, running))
                running.get(timeout=LONGEST_START)
                started += 1
        except (ImportError, OSError, AttributeError, RuntimeError, MemoryError, _queue.Empty):
            # No _ctypes, or processes are limited, or memory: then a thread of a Python without
            # a global lock ends before it runs any of our code, and nobody is told.
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return started

    def start(self, subject, path, arguments, descriptors):
        """Starts a program.  The result is taken later, by results_so_far() or next_result().

        subject: identifies the start in its result
        path: str; arguments: list of bytes; descriptors: its 0 and 1, of which 1 is 2 as
        well; they must stay open until the result is taken
        Raises ValueError if the path has a NUL.  What is raised, also for lack of memory, is
        not in progress: next_result() would wait for it for ever.
        """
        if "\0" in path:
            raise ValueError("embedded null byte")
        if self.threads:
            self.waiting.append((subject, process.fsencode(path), arguments, descriptors))
            self.in_progress += 1
            return
        message, report = descriptors
        try:
            process_id = os.posix_spawn(
                path, arguments, self.environment, setsigmask=self.blocked,
                setsigdef=self.default,
                file_actions=[(os.POSIX_SPAWN_DUP2, message, 0),
                              (os.POSIX_SPAWN_DUP2, report, 1),
                              (os.POSIX_SPAWN_DUP2, report, 2)])
            self.results.put((subject, process_id, 0))
        except OSError as trouble:
            self.results.put((subject, None, trouble.errno))
        self.in_progress += 1

    def release(self):
        """Hands what start() was asked for to the threads.

        Call it before a wait: a thread that is woken up while this one works only competes
        with it for the interpreter.
        """
        for order in self.waiting:
            self.orders.put(order)
        self.waiting.clear()

    def work(self, spawn, running):
        """Starts programs, one after the other.  A thread.

        spawn: Spawn; running: SimpleQueue that is told when all is there that it needs
        """
        actions = spawn.file_actions()
        running.put(None)
        while True:
            subject, path, arguments, descriptors = self.orders.get()
            try:
                process_id, error = spawn(path, arguments, descriptors, actions)
            except Exception as trouble:    # else nothing would come of the delivery, ever
                process_id, error = None, getattr(trouble, "errno", None) or errno.ENOMEM
            self.results.put((subject, process_id, error))
            if error:
                self.failed()

    def results_so_far(self):
        """Yields (subject, process id or None, error number) of the starts that are over."""
        while self.in_progress and not self.results.empty():
            yield self.next_result()

    def next_result(self):
        """Returns the next result; waits for it.  One must be in progress."""
        self.release()
        self.in_progress -= 1
        return self.results.get()


class Spawn:
    """posix_spawn(3), which other threads do not wait for.

    environment, blocked, default: as for Starter
    Raises ImportError without _ctypes, OSError or AttributeError for a C library that
    lacks a function.
    """

    def __init__(self, environment, blocked, default):
        from ..c_library import (
            BriefFunction, Library, byref, c_char_p, c_int, c_short, c_void_p, create_string_buffer)
        self.byref, self.c_int, self.c_char_p = byref, c_int, c_char_p
        self.buffer = create_string_buffer
        self.posix_spawn = Library(None).posix_spawn
        self.posix_spawn.argtypes = [c_void_p, c_char_p, *[c_void_p] * 4]
        # The others return at once, so that other threads may wait for them.
        self.library = library = Library(None, BriefFunction)
        for name, *arguments in (
                ("posix_spawn_file_actions_init", c_void_p),
                ("posix_spawn_file_actions_destroy", c_void_p),
                ("posix_spawn_file_actions_adddup2", c_void_p, c_int, c_int),
                ("posix_spawnattr_init", c_void_p),
                ("posix_spawnattr_setflags", c_void_p, c_short),
                ("posix_spawnattr_setsigmask", c_void_p, c_void_p),
                ("posix_spawnattr_setsigdefault", c_void_p, c_void_p),
                ("sigemptyset", c_void_p), ("sigaddset", c_void_p, c_int)):
            getattr(library, name).argtypes = arguments
        words = [process.fsencode(f"{name}={value}") for name, value in environment.items()]
        self.words = (c_char_p * (len(words) + 1))(*words, None)
        self.attributes = self.buffer(LARGEST)
        library.posix_spawnattr_init(self.attributes)
        library.posix_spawnattr_setflags(self.attributes, SET_DEFAULT_SIGNALS | SET_SIGNAL_MASK)
        library.posix_spawnattr_setsigmask(self.attributes, self.signals(blocked))
        library.posix_spawnattr_setsigdefault(self.attributes, self.signals(default))
        process.let_threads_share_memory()

    def signals(self, numbers):
        """Returns a sigset_t of signals."""
        found = self.buffer(LARGEST)
        self.library.sigemptyset(found)
        for number in numbers:
            self.library.sigaddset(found, number)
        return found

    def file_actions(self):
        """Returns room for a posix_spawn_file_actions_t.  Each thread needs its own."""
        return self.buffer(LARGEST)

    def __call__(self, path, arguments, descriptors, actions):
        """Starts a program.  Returns (process id or None, error number).

        actions: of file_actions(); the others as in Starter.start()
        """
        library, (message, report) = self.library, descriptors
        library.posix_spawn_file_actions_init(actions)
        error = (library.posix_spawn_file_actions_adddup2(actions, message, 0)
                 or library.posix_spawn_file_actions_adddup2(actions, report, 1)
                 or library.posix_spawn_file_actions_adddup2(actions, report, 2))
        process_id = self.c_int()
        if not error:
            error = self.posix_spawn(
                self.byref(process_id), path, actions, self.attributes,
                (self.c_char_p * (len(arguments) + 1))(*arguments, None), self.words)
        library.posix_spawn_file_actions_destroy(actions)
        return (None, error) if error else (process_id.value, 0)
