# SPDX-License-Identifier: MIT
"""qmail-rspawn: reads commands on descriptor 0, writes answers to 1 (spawn.c).

For each delivery, a resident process signs the message (dispatcher).  Then the
original qmail-remote is started with the signed message on descriptor 0 and a
pipe for its report on 1 and 2.  This program never defers a delivery that it
has started: the message would be sent twice.
"""

import errno
import os
import signal
import time

from .. import maillog, process
from ..qmail import remote as contract, spawn
from ..settings import Settings
from ..signing import outbound
from . import signed_messages
from .dispatcher import Signer
from .loop import TICK, Loop
from .starter import Starter

REPORT_AT_ONCE = 8192       # bytes of a report in one read


class Delivery:
    """A delivery in progress.

    number, sender, recipient, host: as in its spawn.Command
    message: descriptor of the queue file; None once the original is started
    signed: the signed_messages.SignedMessage being sent; None before that
    copy: descriptor that the original gets; None once it is started
    report: descriptor of the pipe that has its report; report_end: the other end, for the
    original; None once it is started
    state: os.stat_result of the queue file
    retried: whether it was not started at first, for want of something
    wait_status: of the original, as os.waitpid() gives it
    output: bytes read from the pipe so far
    """

    __slots__ = ("number", "sender", "recipient", "host", "message", "signed", "copy", "state",
                 "retried", "wait_status", "report", "report_end", "output")

    def __init__(self, command, message, state):
        self.number = command.number
        self.sender = command.sender
        self.recipient = command.recipient
        self.host = command.host
        self.message = message
        self.signed = None
        self.copy = None
        self.state = state
        self.retried = False
        self.wait_status = None
        self.report = None
        self.report_end = None
        self.output = bytearray()


class Rspawn:
    """The program.  concurrency: number of deliveries at once, 1 to 255.

    The current directory must be queue/mess, which belongs to qmailq.
    """

    def __init__(self, concurrency):
        self.concurrency = concurrency
        self.owner = os.stat(".").st_uid
        environment = dict(os.environ)      # looked up for each delivery; os.environ encodes
        self.settings = Settings(environment)
        self.blocked = {signal.SIGCHLD, *signal.pthread_sigmask(signal.SIG_UNBLOCK,
                                                                [signal.SIGCHLD])}
        passes = process.passes(os.environ, contract.PASSES)
        environment = dict(environment, **{contract.PASSES: str(passes + 1)})
        self.commands = spawn.CommandReader()
        self.deliveries = {}        # number: Delivery
        self.started = {}           # process id: Delivery
        self.reading = True
        self.writing = True
        self.loop = Loop()
        # As for the children of spawn.c, SIGCHLD is blocked and SIGPIPE ignored.  Python
        # ignores SIGPIPE at its start, and SIGXFSZ as well.
        self.starter = Starter(environment, self.blocked, [signal.SIGXFSZ], self.loop.wake_up)
        self.signer = Signer(self.start, self.give_up, self.loop.watch, self.loop.unwatch)
        self.kept = self.signer.kept
        self.original = None        # path of qmail-remote, once looked up in this turn

    def run(self):
        """Works until descriptor 0 is at its end and all deliveries are answered.

        An exception that belongs to no delivery ends it sooner: deliveries that
        were started are waited for, the others deferred, and it is raised again.
        """
        self.loop.watch_children(self.reap)
        self.write(bytes((self.concurrency,)))
        self.signer.prepare()
        self.loop.watch(0, self.read_commands)
        try:
            self.work()
        except Exception as trouble:
            self.wind_down(spawn.deferral(spawn.trouble_text(trouble)))
            raise

    def work(self):
        next_tick = 0.0
        while self.reading or self.deliveries:
            self.turn()
            if time.monotonic() >= next_tick:
                self.reap()
                self.watch_reports()
                self.signer.tick()
                next_tick = time.monotonic() + TICK

    def wind_down(self, words):
        """Waits for the deliveries that were started; answers the others with words."""
        watched = {self.loop.wake}
        for delivery in list(self.deliveries.values()):
            if delivery.signed is None:
                self.give_up(delivery, words)
            else:
                watched.add(delivery.report)
        for descriptor in self.loop.callbacks.keys() - watched:
            self.loop.unwatch(descriptor)
        while self.deliveries:
            self.turn()
            self.reap()
            self.watch_reports()

    def turn(self):
        """Waits for something to do, and does it."""
        self.look_again()
        self.starter.release()
        self.loop.turn(self.is_busy())
        for result in self.starter.results_so_far():
            self.handle_start(*result)

    def look_again(self):
        """Forgets what was read for earlier deliveries: it may have changed.

        All that one read brings was asked for before it, so may share what is read after it.
        """
        self.kept.look_again()
        self.original = None

    def is_busy(self):
        return bool(self.started or self.starter.in_progress) or self.signer.is_busy()

    def read_commands(self):
        try:
            data = os.read(0, spawn.READ_AT_ONCE)
        except OSError:
            data = b""
        self.look_again()
        if not data:
            self.reading = False
            self.loop.unwatch(0)
        for command in self.commands.feed(data):
            self.accept(command)

    def accept(self, command):
        """Checks a spawn.Command and begins its delivery, or answers why not."""
        flaw = spawn.command_flaw(command, self.concurrency,
                                  command.number in self.deliveries)
        if not flaw:
            message, state, flaw = self.open_message(command.name)
        if flaw:
            self.answer(command.number, flaw)
            return
        delivery = self.deliveries[command.number] = Delivery(command, message, state)
        self.signer.sign(delivery)

    def open_message(self, name):
        """Opens a queue file by its name (bytes).

        Returns (descriptor, os.stat_result, b"") or, if the file is refused,
        (None, None, the answer's words).
        """
        try:
            message = self.kept.with_room(
                lambda: os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return None, None, spawn.UNABLE_TO_OPEN
        try:
            state = os.fstat(message)
            flaw = spawn.message_flaw(state, self.owner)
        except OSError:
            flaw = spawn.UNABLE_TO_FSTAT
        if flaw:
            process.close(message)
            return None, None, flaw
        return message, state, b""

    def start(self, delivery, signed):
        """Starts the original for a Delivery with its SignedMessage, or gives it up."""
        try:
            if self.original is None:
                self.original = self.kept.with_room(
                    lambda: self.settings.path("DKREMOTE"), signed)
            outbound.log(signed.remarks, [process.fsdecode(part) for part in
                                          (delivery.host, delivery.sender, delivery.recipient)])
            delivery.copy = self.kept.with_room(
                lambda: os.dup(delivery.message) if signed.copy is None else signed.open_copy(),
                signed)
        except Exception as trouble:
            self.give_up(delivery, spawn.deferral(spawn.trouble_text(trouble)))
            return
        try:
            delivery.report, delivery.report_end = self.kept.with_room(os.pipe)
            os.set_blocking(delivery.report, False)
        except OSError:
            self.give_up(delivery, spawn.UNABLE_TO_PIPE)
            return
        try:
            self.start_original(delivery, self.original)
        except ValueError as error:     # a NUL in DKREMOTE
            self.give_up(delivery, spawn.deferral(spawn.trouble_text(error)))
            return
        delivery.signed = signed
        self.kept.begun(signed)

    def start_original(self, delivery, path):
        self.starter.start(
            (delivery, path), path,
            [b"qmail-remote", delivery.host, delivery.sender, delivery.recipient],
            (delivery.copy, delivery.report_end))

    def handle_start(self, subject, process_id, error):
        """Handles the result of start_original(), as Starter gives it."""
        delivery, path = subject
        if error:
            trouble = OSError(error, os.strerror(error))
            if (not delivery.retried and signed_messages.is_scarcity(trouble)
                    and self.kept.make_room(delivery.signed)):
                delivery.retried = True
                self.start_original(delivery, path)
            else:
                self.give_up(delivery, words_for_start(path, trouble))
            return
        self.started[process_id] = delivery
        process.close(delivery.message, delivery.copy, delivery.report_end)
        delivery.message = delivery.copy = delivery.report_end = None

    def reap(self):
        """Collects the exit status of each child that has ended."""
        while True:
            try:
                process_id, wait_status = os.waitpid(-1, os.WNOHANG)
            except OSError:
                return      # no children
            if not process_id:
                return
            # It may have ended before the thread that has started it could say so.
            while process_id not in self.started and self.starter.in_progress:
                self.handle_start(*self.starter.next_result())
            delivery = self.started.pop(process_id, None)
            if delivery is None:
                self.signer.ended(process_id)
                continue
            delivery.wait_status = wait_status
            self.read_report(delivery)

    def watch_reports(self):
        """Watches the reports of the deliveries that have not ended within a tick.

        Most end sooner, and until then the pipe holds all of the report; without this a
        longer one would hold up its writer for ever.
        """
        for delivery in self.started.values():
            self.watch_report(delivery)

    def watch_report(self, delivery):
        if delivery.report not in self.loop.callbacks:
            self.loop.watch(delivery.report, lambda: self.read_report(delivery))

    def read_report(self, delivery):
        for _ in range(2):      # the report, and its end
            try:
                data = os.read(delivery.report, REPORT_AT_ONCE)
            except OSError:
                break
            if delivery.wait_status is None:
                if not data:
                    self.loop.unwatch(delivery.report)      # it ends when its writer does
                delivery.output += data
                return
            if not data:
                self.end(delivery)
                return
            delivery.output += data
        self.watch_report(delivery)     # more comes, or another process holds its other end

    def end(self, delivery):
        """Answers a delivery whose report is complete."""
        words = spawn.report(delivery.wait_status, bytes(delivery.output))
        self.forget(delivery)
        self.answer(delivery.number, words)

    def give_up(self, delivery, words):
        """Answers a delivery that was not started, and logs the answer's words."""
        self.forget(delivery)
        self.answer(delivery.number, words)
        text = words[1:-1].decode().removeprefix(spawn.DEFERRAL[1:].decode())
        maillog.warn(("deferred: " if words[:1] == b"Z" else "bounced: ") + text)

    def forget(self, delivery):
        """Closes the descriptors of a delivery and removes it."""
        self.loop.unwatch(delivery.report)
        process.close(delivery.message, delivery.copy, delivery.report, delivery.report_end)
        if delivery.signed is not None:
            self.kept.ended(delivery.signed)
        del self.deliveries[delivery.number]

    def answer(self, number, words):
        self.write(spawn.answer(number, words))

    def write(self, data):
        """Writes bytes to qmail-send.

        After an error qmail-send is gone: the deliveries go on, without answers.
        """
        while data and self.writing:
            try:
                data = data[os.write(1, data):]
            except OSError:
                self.writing = False
                os.dup2(0, 1)       # closes 1, but no other file can get the number


def words_for_start(path, error):
    """Returns the answer's words (bytes) for an OSError of posix_spawn().

    path: the program that was to run, str
    """
    if error.errno == errno.E2BIG:
        return spawn.UNABLE_TO_RUN_EVER    # the addresses will be too long next time as well
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return spawn.UNABLE_TO_FORK
    return spawn.deferral(
        f"unable to run {path}: {error.strerror}; DKREMOTE must be the original qmail-remote")


def clean_timeouts():
    """Clears the table of hosts that timed out, as tcpto_clean.c does; errors are ignored."""
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
