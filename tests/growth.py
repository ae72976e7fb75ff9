# SPDX-License-Identifier: MIT
"""How CPU time grows with the size of an input, told so that a busy machine does not matter."""

import gc
import time

STEP = 0.002        # seconds: less than that is mostly the clock's steps
ATTEMPTS = 5        # noise comes and goes, a quadratic way stays


def grows_less_than(bound, function, small, large):
    """Whether function(large) takes less than bound times the CPU of function(small).

    A quadratic way shows at every attempt, so one below the bound is enough.
    """
    return any(seconds(function, large) < bound * max(seconds(function, small), STEP)
               for _ in range(ATTEMPTS))


def seconds(function, argument):
    """CPU seconds of the faster of two calls, without those of collecting garbage of others."""
    gc.disable()
    try:
        return min(once(function, argument) for _ in range(2))
    finally:
        gc.enable()


def once(function, argument):
    start = time.process_time()
    function(argument)
    return time.process_time() - start
