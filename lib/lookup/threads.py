# SPDX-License-Identifier: MIT
"""Calls a function for many items at the same time, in threads.

A limit on processes or on memory may allow fewer threads than are wanted, or none (ulimit -u
and -v, TasksMax of systemd).  Then those that are there do all of it, and take longer; the
calling one always works, too.
"""

import _queue
import _thread
import contextlib
import resource
from collections import deque

from .. import process
from ..packages import is_free_threaded

STACK = 256 * 1024          # bytes of a thread's stack

# Under a limit of addresses one thread for each so many bytes, as they need memory to work.
FOR_EACH = 16 * 1024 * 1024


def at_once(function, items, most):
    """Yields (item, function(item)) for each of items (list), as soon as it is found.

    most: items at a time
    Raises what function raises, and begins no other item then.
    """
    waiting, finished = deque(items), _queue.SimpleQueue()

    def take():
        """Calls the function for an item.  Returns False if none is left."""
        try:
            item = waiting.popleft()
        except IndexError:
            return False
        try:
            finished.put((item, function(item), None))
        except BaseException as error:
            finished.put((item, None, error))       # raised where the results are taken
        return True

    def work():
        while take():
            pass

    try:
        with contextlib.suppress(RuntimeError, MemoryError):    # no more threads can be had
            for _ in range(allowed(min(most, len(items))) - 1):
                _thread.start_new_thread(work, ())
        for _ in items:
            while finished.empty() and take():
                pass
            item, result, error = finished.get()
            if error is not None:
                raise error
            yield item, result
    finally:
        waiting.clear()


def allowed(most):
    """Returns how many threads, of most, the limits of memory allow; prepares for them."""
    process.let_threads_share_memory()
    _thread.stack_size(STACK)
    limits = [limit for limit, _ in map(resource.getrlimit,
                                        (resource.RLIMIT_AS, resource.RLIMIT_DATA))]
    finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    if finite and is_free_threaded():   # 3.14's threads may wait for each other for ever then
        return 1
    return min([most] + [limit // FOR_EACH for limit in finite])
