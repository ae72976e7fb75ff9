# SPDX-License-Identifier: MIT
"""Has the messages of qmail-rspawn's deliveries signed by resident processes.

Small and large messages have separate processes, so that no small message waits
for a large one; the processes for large messages exit when idle.  If a message
is already being signed, its other deliveries wait for the result.  A process
that dies or hangs defers one delivery, and is replaced when a message needs it.
"""

import os
import signal
import time
from collections import deque

from .. import process
from ..qmail.spawn import UNABLE_TO_FORK, deferral, trouble_text
from ..qmail.spool import IN_MEMORY
from .signed_messages import Kept, SignedMessage
from .worker import Worker

LARGE = IN_MEMORY           # bytes; a message with more is large
PROCESSES = max(2, min(os.cpu_count() or 2, 8))     # at most, of either kind
PATIENCE = 60               # seconds to sign a message ...
PATIENCE_FOR_BYTES = 1e6    # ... plus one for each this many bytes


class Job:
    """A message to be signed, for a Delivery and then for a list of waiting ones.

    key: its message_key()
    again: whether this is the second attempt, after kept messages were closed
    """

    __slots__ = ("key", "delivery", "waiting", "again")

    def __init__(self, key, delivery):
        self.key = key
        self.delivery = delivery
        self.waiting = []
        self.again = False


class Signer:
    """Signs for deliveries.

    A delivery has a message (descriptor), state (os.stat_result of it) and
    sender (bytes).  For each, Signer calls start(delivery, SignedMessage) or
    defer(delivery, words), within sign() or later, in a callback from the event
    loop.  watch(descriptor, callback) and unwatch(descriptor) are the loop's.
    """

    def __init__(self, start, defer, watch, unwatch):
        self.start = start
        self.defer = defer
        self.watch = watch
        self.unwatch = unwatch
        self.kept = Kept()
        self.jobs = {}
        self.queues = {False: deque(), True: deque()}       # is_large: Jobs
        self.workers = {False: [], True: []}

    def prepare(self):
        """Starts a process for the first message, which then need not wait for its start."""
        try:
            self.start_worker(False)
        except OSError:
            pass    # the message will try again

    def sign(self, delivery):
        """Signs for a delivery: by a kept message, by a job in progress, or by a new one."""
        key = message_key(delivery)
        signed = self.kept.get(key)
        if signed is not None:
            self.start(delivery, signed)
        elif key in self.jobs:
            self.jobs[key].waiting.append(delivery)
        else:
            job = self.jobs[key] = Job(key, delivery)
            large = is_large(job)
            self.queues[large].append(job)
            self.dispatch(large)

    def dispatch(self, large):
        """Hands jobs to processes while there are any; large: of which kind."""
        queue = self.queues[large]
        while queue:
            idle = [worker for worker in self.workers[large] if worker.job is None]
            if not idle and len(self.workers[large]) >= PROCESSES:
                return
            job = queue.popleft()
            try:
                worker = idle[0] if idle else self.start_worker(large)
            except OSError:
                self.fail(job, UNABLE_TO_FORK)
                continue
            try:
                worker.send(job.delivery.message, job.delivery.sender)
            except OSError:
                self.dismiss(worker)
                if idle:
                    queue.appendleft(job)   # the process had already ended; nothing is lost
                else:
                    self.fail(job, deferral("the signing process does not start"))
                continue
            worker.job = job
            worker.deadline = (time.monotonic() + PATIENCE
                               + job.delivery.state.st_size / PATIENCE_FOR_BYTES)

    def start_worker(self, large):
        """Starts a Worker and watches its socket.  Raises OSError."""
        worker = self.kept.with_room(Worker)
        self.workers[large].append(worker)
        self.watch(worker.socket.fileno(), lambda: self.answered(worker))
        return worker

    def dismiss(self, worker):
        """Closes the socket of a Worker, whose process then exits."""
        for workers in self.workers.values():
            if worker in workers:
                workers.remove(worker)
        self.unwatch(worker.socket.fileno())
        worker.socket.close()

    def answered(self, worker):
        """Handles a Worker whose process has signed or ended."""
        try:
            reply = worker.receive()
        except BlockingIOError:
            return
        job, worker.job = worker.job, None
        if reply is None or job is None or reply.last:
            self.dismiss(worker)
        if job is None:
            return
        if reply is None:
            self.fail(job, deferral("the signing process died"))
        elif reply.scarce and not job.again and self.kept.make_room():
            process.close(reply.copy)
            job.again = True
            self.queues[is_large(job)].appendleft(job)
        elif reply.trouble:
            self.fail(job, deferral(reply.trouble))
        else:
            self.finish(job, reply)
        self.dispatch(is_large(job))

    def finish(self, job, reply):
        """Starts the deliveries of a job whose message was signed, and keeps the message."""
        try:
            original = self.kept.with_room(lambda: os.dup(job.delivery.message))
        except OSError as trouble:
            process.close(reply.copy)
            self.fail(job, deferral(trouble_text(trouble)))
            return
        size = job.delivery.state.st_size
        if reply.copy is not None:
            size = max(size, os.fstat(reply.copy).st_size)
        signed = SignedMessage(original, reply.copy, size, reply.remarks, reply.files,
                               reply.lifetime)
        self.start(job.delivery, signed)
        self.kept.add(job.key, signed)      # not earlier: it closes what it can't keep
        self.go_on(job)

    def fail(self, job, words):
        """Answers the delivery of a job with words (bytes); the waiting ones are tried anew."""
        self.defer(job.delivery, words)
        self.go_on(job)

    def go_on(self, job):
        """Signs for the deliveries that waited for a job: with its result, or as a new job."""
        del self.jobs[job.key]
        for delivery in job.waiting:
            self.sign(delivery)

    def ended(self, process_id):
        """Forgets the id of a child that was waited for: the system may reuse it."""
        for worker in self.workers[False] + self.workers[True]:
            if worker.process_id == process_id:
                worker.process_id = None

    def tick(self):
        """Kills processes that hang; ends idle ones for large messages; closes old messages.

        Call it about once a second while is_busy().
        """
        now = time.monotonic()
        for worker in self.workers[False] + self.workers[True]:
            if worker.job is not None and now >= worker.deadline:
                job = worker.job
                if worker.process_id is not None:
                    os.kill(worker.process_id, signal.SIGKILL)
                self.dismiss(worker)
                self.fail(job, deferral("the signing process does not answer"))
                self.dispatch(is_large(job))
        for worker in [worker for worker in self.workers[True] if worker.job is None]:
            self.dismiss(worker)
        self.kept.sweep()

    def is_busy(self):
        """Returns whether tick() has anything to look after."""
        return bool(self.jobs or self.kept.messages or self.workers[True])


def message_key(delivery):
    """Returns the key of a delivery's message, a tuple.

    A signature depends on it and on the files that are consulted, nothing else.
    """
    state = delivery.state
    _, at, domain = delivery.sender.rpartition(b"@")
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns,
            domain.lower() if at else None)


def is_large(job):
    return job.delivery.state.st_size > LARGE
