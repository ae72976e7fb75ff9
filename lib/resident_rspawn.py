# SPDX-License-Identifier: MIT
"""qmail-rspawn: takes commands on descriptor 0, answers on 1 (spawn.c).

For each delivery the message is signed by a process that stays
(resident_signer), then the original qmail-remote is started with the signed
message on descriptor 0 and a pipe, the report, on 1 and 2.  A delivery that was
started is never deferred by us: the message would be sent twice.
"""

import errno
import os
import select
import signal
import time

from . import delivery as contract
from . import maillog, outbound, process, spawn_protocol
from .resident_signer import Signer
from .settings import Settings

TICK = 1        # seconds


class Delivery:
    """A delivery in progress.

    number, sender, recipient, host: of its spawn_protocol.Command
    message: descriptor of the queue file, until the original is started
    state: the file's os.stat_result
    process_id: of the original; None before it is started
    wait_status: how it ended; report, report_end: descriptors of the pipe to it
    output: what came through that
    """

    __slots__ = ("number", "sender", "recipient", "host", "message", "state", "process_id",
                 "wait_status", "report", "report_end", "output")

    def __init__(self, command, message, state):
        self.number = command.number
        self.sender = command.sender
        self.recipient = command.recipient
        self.host = command.host
        self.message = message
        self.state = state
        self.process_id = None
        self.wait_status = None
        self.report = None
        self.report_end = None
        self.output = bytearray()


class Rspawn:
    """The program.  concurrency: how many deliveries at once, 1 to 255.

    The current directory is queue/mess, which belongs to qmailq.
    """

    def __init__(self, concurrency):
        self.concurrency = concurrency
        self.owner = os.stat(".").st_uid
        self.settings = Settings(os.environ)
        self.blocked = {signal.SIGCHLD, *signal.pthread_sigmask(signal.SIG_UNBLOCK,
                                                                [signal.SIGCHLD])}
        self.environment = dict(os.environ, **{contract.PASSED: "1"})
        self.commands = spawn_protocol.CommandReader()
        self.deliveries = {}        # number: Delivery
        self.started = {}           # process id: Delivery
        self.reading = True
        self.writing = True
        self.poll = select.poll()
        self.callbacks = {}         # descriptor: what to call when it is readable
        self.wake = None            # readable when a child has ended
        self.signer = Signer(self.start, self.give_up, self.watch, self.unwatch)

    def run(self):
        """Works until descriptor 0 has ended and all deliveries have.

        Trouble that is no delivery's ends it before that.  Raises it, but not
        until what has been started is answered.
        """
        self.watch_children()
        self.write(bytes((self.concurrency,)))
        self.watch(0, self.read_commands)
        try:
            self.work()
        except Exception as trouble:
            self.wind_down(spawn_protocol.deferral(spawn_protocol.trouble_text(trouble)))
            raise

    def work(self):
        next_tick = 0
        while self.reading or self.deliveries:
            self.call_back()
            if time.monotonic() >= next_tick:
                self.reap()
                self.signer.tick()
                next_tick = time.monotonic() + TICK

    def wind_down(self, words):
        """Answers all deliveries: with words those that are not started."""
        watched = {self.wake}
        for delivery in list(self.deliveries.values()):
            if delivery.process_id is None:
                self.give_up(delivery, words)
            else:
                watched.add(delivery.report)
        for descriptor in self.callbacks.keys() - watched:
            self.unwatch(descriptor)
        while self.deliveries:
            self.call_back()
            self.reap()

    def call_back(self):
        """Waits, then calls what was to be called for the descriptors that are ready."""
        for descriptor in self.ready():
            callback = self.callbacks.get(descriptor)
            if callback is not None:    # else an earlier one has closed it
                callback()

    def ready(self):
        """Waits for descriptors that may be readable; no longer than TICK while there is work."""
        try:
            events = self.poll.poll(TICK * 1000 if self.started or self.signer.is_busy() else None)
            return [descriptor for descriptor, _ in events]
        except OSError:     # no memory: the deliveries under way must not die of it
            time.sleep(TICK)
            return []

    def watch(self, descriptor, callback):
        """callback() is called when descriptor is readable, and perhaps when it is not."""
        self.callbacks[descriptor] = callback
        self.poll.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor):
        del self.callbacks[descriptor]
        self.poll.unregister(descriptor)

    def watch_children(self):
        """Makes the end of a child a byte in a pipe."""
        self.wake, written = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.watch(self.wake, self.woken)

    def read_commands(self):
        try:
            data = os.read(0, spawn_protocol.READ_AT_ONCE)
        except OSError:
            data = b""
        if not data:
            self.reading = False
            self.unwatch(0)
        for command in self.commands.feed(data):
            self.accept(command)

    def accept(self, command):
        """Checks a command, and begins its delivery."""
        flaw = spawn_protocol.command_flaw(command, self.concurrency,
                                           command.number in self.deliveries)
        if not flaw:
            message, state, flaw = self.open_message(command.name)
        if flaw:
            self.answer(command.number, flaw)
            return
        delivery = self.deliveries[command.number] = Delivery(command, message, state)
        self.signer.sign(delivery)

    def open_message(self, name):
        """-> (descriptor, os.stat_result, b"") or (None, None, why it is refused)."""
        try:
            message = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None, None, spawn_protocol.UNABLE_TO_OPEN
        try:
            state = os.fstat(message)
            flaw = spawn_protocol.message_flaw(state, self.owner)
        except OSError:
            flaw = spawn_protocol.UNABLE_TO_FSTAT
        if flaw:
            process.close(message)
            return None, None, flaw
        return message, state, b""

    def start(self, delivery, signed):
        """Starts the original for a delivery whose message has been signed."""
        try:
            path = self.settings["DKREMOTE"]
            outbound.log(signed.remarks, [os.fsdecode(part) for part in
                                          (delivery.host, delivery.sender, delivery.recipient)])
            message = os.dup(delivery.message) if signed.copy is None else signed.open_copy()
        except Exception as trouble:
            self.give_up(delivery, spawn_protocol.deferral(spawn_protocol.trouble_text(trouble)))
            return
        try:
            self.start_original(path, delivery, message)
        finally:
            process.close(message)

    def start_original(self, path, delivery, message):
        try:
            delivery.report, delivery.report_end = os.pipe()
            os.set_blocking(delivery.report, False)
        except OSError:
            self.give_up(delivery, spawn_protocol.UNABLE_TO_PIPE)
            return
        self.watch(delivery.report, lambda: self.read_report(delivery))
        try:
            # As spawn.c's children have it: SIGCHLD blocked, SIGPIPE ignored (Python
            # has done that for itself, and SIGXFSZ as well).
            delivery.process_id = os.posix_spawn(
                path, [b"qmail-remote", delivery.host, delivery.sender, delivery.recipient],
                self.environment, setsigmask=self.blocked, setsigdef=[signal.SIGXFSZ],
                file_actions=[(os.POSIX_SPAWN_DUP2, message, 0),
                              (os.POSIX_SPAWN_DUP2, delivery.report_end, 1),
                              (os.POSIX_SPAWN_DUP2, delivery.report_end, 2)])
        except OSError as error:
            self.give_up(delivery, words_for_start(path, error))
            return
        except ValueError as error:     # a NUL in DKREMOTE
            self.give_up(delivery, spawn_protocol.deferral(spawn_protocol.trouble_text(error)))
            return
        self.started[delivery.process_id] = delivery
        process.close(delivery.message)
        delivery.message = None

    def woken(self):
        try:
            os.read(self.wake, 4096)
        except OSError:
            pass
        self.reap()

    def reap(self):
        """Waits for the children that have ended."""
        while True:
            try:
                process_id, wait_status = os.waitpid(-1, os.WNOHANG)
            except OSError:
                return      # there is none
            if not process_id:
                return
            delivery = self.started.pop(process_id, None)
            if delivery is None:
                self.signer.ended(process_id)
                continue
            delivery.wait_status = wait_status
            process.close(delivery.report_end)  # kept till now: the report ends after its writer
            delivery.report_end = None

    def read_report(self, delivery):
        try:
            data = os.read(delivery.report, 65536)
        except OSError:
            return
        if data:
            delivery.output += data
            return
        words = spawn_protocol.report(delivery.wait_status, bytes(delivery.output))
        self.forget(delivery)
        self.answer(delivery.number, words)

    def give_up(self, delivery, words):
        """Answers a delivery that was not started."""
        self.forget(delivery)
        self.answer(delivery.number, words)
        if words.startswith(spawn_protocol.DEFERRAL):
            maillog.warn("deferred: " + words[len(spawn_protocol.DEFERRAL):-1].decode())

    def forget(self, delivery):
        """Closes all that a delivery has open."""
        if delivery.report in self.callbacks:
            self.unwatch(delivery.report)
        process.close(delivery.message, delivery.report, delivery.report_end)
        del self.deliveries[delivery.number]

    def answer(self, number, words):
        self.write(spawn_protocol.answer(number, words))

    def write(self, data):
        """Writes to qmail-send; once that fails it is gone, and only the deliveries matter."""
        while data and self.writing:
            try:
                data = data[os.write(1, data):]
            except OSError:
                self.writing = False
                os.dup2(0, 1)       # closes it, and keeps its number from other files


def words_for_start(path, error):
    """An answer's words for an OSError of posix_spawn()."""
    if error.errno == errno.E2BIG:
        return spawn_protocol.UNABLE_TO_RUN_EVER    # the addresses are too long, now and ever
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return spawn_protocol.UNABLE_TO_FORK
    return spawn_protocol.deferral(
        f"unable to run {path}: {error.strerror}; DKREMOTE must be the original qmail-remote")


def clean_timeouts():
    """Forgets which hosts did not answer (tcpto_clean.c); trouble here is no trouble."""
    try:
        table = os.open("../lock/tcpto", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(table, bytes(1024))
    except OSError:
        pass
    finally:
        process.close(table)
