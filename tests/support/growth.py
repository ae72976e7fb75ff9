# SPDX-License-Identifier: MIT
"""Measures how CPU time grows with the size of an input, even on a busy machine."""

import gc
import time

STEP = 0.002        # seconds; shorter times are mostly the clock's steps
ATTEMPTS = 5        # noise comes and goes, a quadratic algorithm stays


def grows_less_than(bound, function, small, large):
    """Returns whether function(large) takes less than bound times the CPU of function(small).

    A quadratic algorithm shows in each attempt, so one below the bound is enough.
    """
    return any(seconds(function, large) < bound * max(seconds(function, small), STEP)
               for _ in range(ATTEMPTS))


def seconds(function, argument):
    """Returns the CPU seconds of the faster of two calls, without garbage collection."""
    gc.disable()
    try:
        return min(once(function, argument) for _ in range(2))
    finally:
        gc.enable()


def once(function, argument):
    start = time.process_time()
    function(argument)
    return time.process_time() - start
