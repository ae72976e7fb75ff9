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
    wake, written: the ends of a pipe, readable when a child has ended or wake_up() was
    called; None and -1 before watch_children()
    """

    def __init__(self):
        self.poll = select.poll()
        self.callbacks = {}
        self.wake: "int | None" = None
        self.written = -1

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
        self.wake, self.written = wake, written
        os.set_blocking(wake, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.siginterrupt(signal.SIGCHLD, False)      # else syslog(3) loses a line that waits

        def woken():
            try:
                os.read(wake, 4096)
            except OSError:
                pass
            ended()
        self.watch(wake, woken)

    def wake_up(self):
        """Ends the wait of turn().  Other threads may call it."""
        try:
            os.write(self.written, b"w")
        except OSError:
            pass    # full, so it is readable

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
