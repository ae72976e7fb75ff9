# SPDX-License-Identifier: MIT
"""Gets the messages of qmail-rspawn's deliveries signed, by processes that stay.

A few of them sign the small messages, others the large ones, so that the small
ones don't wait for those; these end when they have no work.  Deliveries of a
message that is being signed wait for that.  A process that dies or hangs defers
one delivery, and is replaced when there is a message for it.
"""

import os
import signal
import time
from collections import deque

from . import process
from .signed_messages import Kept, SignedMessage
from .signing_worker import Worker
from .spool import IN_MEMORY
from .spawn_protocol import UNABLE_TO_FORK, deferral, trouble_text

LARGE = IN_MEMORY           # bytes, from which on a message is large
PROCESSES = max(2, min(os.cpu_count() or 2, 8))     # of either kind at a time
PATIENCE = 60               # seconds for a message ...
PATIENCE_FOR_BYTES = 1e6    # ... and one more for each so many bytes


class Job:
    """A message to be signed: for delivery, then for those that are waiting."""

    __slots__ = ("key", "delivery", "waiting")

    def __init__(self, key, delivery):
        self.key = key
        self.delivery = delivery
        self.waiting = []


class Signer:
    """Signs for deliveries, each with a message (descriptor), state (its
    os.stat_result) and sender (bytes).

    start(delivery, SignedMessage) or defer(delivery, words) is called for each,
    at once or when watch()'s callback has been called; watch(descriptor,
    callback) and unwatch(descriptor) are the event loop's.
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

    def sign(self, delivery):
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
        """Hands jobs over while there are processes for them."""
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
                    queue.appendleft(job)   # it had ended unnoticed; nothing is lost
                else:
                    self.fail(job, deferral("the signing process does not start"))
                continue
            worker.job = job
            worker.deadline = (time.monotonic() + PATIENCE
                               + job.delivery.state.st_size / PATIENCE_FOR_BYTES)

    def start_worker(self, large):
        """Raises OSError."""
        worker = Worker()
        self.workers[large].append(worker)
        self.watch(worker.socket.fileno(), lambda: self.answered(worker))
        return worker

    def dismiss(self, worker):
        """Lets a process go: it ends when its socket does."""
        for workers in self.workers.values():
            if worker in workers:
                workers.remove(worker)
        self.unwatch(worker.socket.fileno())
        worker.socket.close()

    def answered(self, worker):
        """A process has signed, or ended."""
        try:
            reply = worker.receive()
        except BlockingIOError:
            return
        job, worker.job = worker.job, None
        if reply is None or job is None:
            self.dismiss(worker)
        if job is None:
            return
        if reply is None:
            self.fail(job, deferral("the signing process died"))
        elif reply.trouble:
            self.fail(job, deferral(reply.trouble))
        else:
            self.finish(job, reply)
        self.dispatch(is_large(job))

    def finish(self, job, reply):
        try:
            original = os.dup(job.delivery.message)
        except OSError as trouble:
            process.close(reply.copy)
            self.fail(job, deferral(trouble_text(trouble)))
            return
        size = 0 if reply.copy is None else job.delivery.state.st_size
        signed = SignedMessage(original, reply.copy, size, reply.remarks, reply.files,
                               reply.lifetime)
        self.start(job.delivery, signed)
        self.kept.add(job.key, signed)
        self.go_on(job)

    def fail(self, job, words):
        self.defer(job.delivery, words)
        self.go_on(job)

    def go_on(self, job):
        """The deliveries that waited for a job: with what it gave, or in its place."""
        del self.jobs[job.key]
        for delivery in job.waiting:
            self.sign(delivery)

    def ended(self, process_id):
        """A child has been waited for: its number may soon be another's."""
        for worker in self.workers[False] + self.workers[True]:
            if worker.process_id == process_id:
                worker.process_id = None

    def tick(self):
        """To be called about once a second while is_busy()."""
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
        return bool(self.jobs or self.kept.messages or self.workers[True])


def message_key(delivery):
    """What a signature depends on, besides the files that are consulted for it."""
    state = delivery.state
    _, at, domain = delivery.sender.rpartition(b"@")
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns,
            domain.lower() if at else None)


def is_large(job):
    return job.delivery.state.st_size > LARGE
