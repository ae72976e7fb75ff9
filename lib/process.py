# SPDX-License-Identifier: MIT
"""Gives the next program the process as it would be without Python."""

import _signal      # the signal module proper imports enum, which costs 3 ms


def restore_signals(ignored=0):
    """Undoes what Python did at its start: it ignores SIGPIPE and SIGXFSZ.

    ignored: mask of the signals that are to stay ignored; bit 0 is signal 1
    """
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        if not ignored >> (number - 1) & 1:
            _signal.signal(number, _signal.SIG_DFL)
