# SPDX-License-Identifier: MIT
"""Does the same for each of the domains that an administrator names."""

import sys

from ..errors import RequestTrouble, Trouble
from . import key_places

LIST = "-"      # stands for the domains on standard input, one on each line

REFUSED, TROUBLE = 100, 111     # exit codes, as for one domain


def listed(names):
    """Returns the domains that are named, list of str, as they were written.

    names: of the command line.  A line of LIST may be blank, or a comment (#).
    Raises RequestTrouble if there is none.
    """
    found = []
    for name in names:
        if name == LIST:
            lines = map(str.strip, sys.stdin)
            found += [line for line in lines if line and not line.startswith("#")]
        else:
            found.append(name)
    if names and not found:
        raise RequestTrouble("standard input names no domain")
    return found


def for_each(names, work):
    """Calls work(domain) for each of the names.  Returns the exit code.

    names: list of str, as listed() returns them; work: function of a checked domain
    One that fails does not stop the others: a line on standard error says so.  What is
    raised for the only one goes on to the caller.
    """
    code = 0
    for name in names:
        try:
            work(key_places.checked_domain(name))
        except (Trouble, OSError, ImportError) as trouble:
            if len(names) == 1:
                raise
            code = max(code, REFUSED if isinstance(trouble, RequestTrouble) else TROUBLE)
            sys.stdout.flush()
            print(f"qmail-dk: {name}: {reason(trouble)}", file=sys.stderr)
    return code


def reason(trouble):
    """Returns on one line what an exception says."""
    if isinstance(trouble, OSError):
        return f"{trouble.filename or 'input or output'}: {trouble.strerror}"
    return " ".join(str(trouble).split())
