# SPDX-License-Identifier: MIT
"""The event loop of qmail-rspawn: waits for descriptors and for children that end."""

import os
import select
import signal
import time

TICK = 1        # seconds


class Loop:
    """Calls a function when a descriptor may be readable.

    callbacks: {descriptor: function without arguments}
    wake: descriptor, readable when a child has ended; None before watch_children()
    """

    def __init__(self):
        self.poll = select.poll()
        self.callbacks = {}
        self.wake: "int | None" = None

    def watch(self, descriptor, callback):
        """Calls callback() when descriptor is readable, and perhaps when it is not."""
        self.callbacks[descriptor] = callback
        self.poll.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor):
        """Stops watching a descriptor, which may then be closed; does nothing for others."""
        if self.callbacks.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)

    def watch_children(self, ended):
        """Calls ended() when a child has ended.  Each signal puts a byte into a pipe."""
        wake, written = os.pipe()
        self.wake = wake
        os.set_blocking(wake, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

        def woken():
            try:
                os.read(wake, 4096)
            except OSError:
                pass
            ended()
        self.watch(wake, woken)

    def turn(self, busy):
        """Waits until a descriptor is ready, then calls the callbacks.

        busy: whether there is work to look after; then it waits TICK at most
        """
        for descriptor in self.ready(busy):
            callback = self.callbacks.get(descriptor)
            if callback is not None:    # else an earlier callback has unwatched it
                callback()

    def ready(self, busy):
        """Returns a list of the descriptors that may be readable; waits as turn() does."""
        try:
            return [descriptor for descriptor, _ in self.poll.poll(TICK * 1000 if busy else None)]
        except OSError:     # no memory, which must not end the deliveries in progress
            time.sleep(TICK)
            return []
