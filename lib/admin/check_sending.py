# SPDX-License-Identifier: MIT
"""Checks what signing needs besides keys: memory, and disk space for large messages."""

import os

from ..errors import SettingTrouble
from ..qmail import spool
from . import account, check_receiving, running as admin_running
from .check_receiving import LIMIT, MORE_MEMORY
from .findings import FAIL, OK, WARN, Finding

# RLIMIT_AS, RLIMIT_DATA -> bytes below which the signer passes no mail, and bytes below which it
# does not pass mail with the largest headers (doc/installing).
NEEDS = {"address space": (23_000_000 + MORE_MEMORY, (80 << 20) + MORE_MEMORY),
         "data size": (8_000_000 + MORE_MEMORY, (64 << 20) + MORE_MEMORY)}
ENLARGE = f"{LIMIT} in the script that starts qmail, and restart it"

# Bytes that should be free for copies of large messages.
LEAST_ROOM, ENOUGH_ROOM = 16 << 20, 128 << 20


def findings(host):
    """Returns all Findings.  host: host.Host"""
    return memory_findings(host.running) + room_findings(host.settings)


def memory_findings(running):
    """Checks the memory limits of qmail-rspawn, which the programs that it starts inherit.

    Returns [] if they can't be read; only /proc has them.  running: running.Rspawn or None
    """
    try:
        limits = check_receiving.limits(admin_running.text(running.number, "limits"))
    except (AttributeError, OSError):
        return []               # none runs, or it has just ended
    subject = f"qmail-rspawn (process {running.number})"
    for kind, (least, enough) in NEEDS.items():
        value = limits.get(kind, enough)
        if value < least:
            return [Finding(FAIL, subject, f"may take {value} bytes of memory ({kind}), too little "
                            "for the signer, so mail is deferred", ENLARGE)]
        if value < enough:
            return [Finding(WARN, subject, f"may take {value} bytes of memory ({kind}), too little "
                            "for the signer where a header is large", ENLARGE)]
    value = limits.get("address space")
    return [Finding(OK, subject, "may take any memory" if value is None else
                    f"may take {value} bytes of memory, enough for the signer")]


def room_findings(settings):
    """Checks that the signer can write copies of large messages, and that there is room for them.

    The verifier uses the same directories, unless its environment names another.
    """
    try:
        wanted = settings.temporary_directory()
    except SettingTrouble:
        return []               # check_installation reports it
    places = (wanted,) if wanted else spool.DIRECTORIES
    remedy = "let TMPDIR name another directory in the script that starts qmail, and restart it"
    with account.signers_eyes():
        place = next((place for place in places if os.access(
            place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)), None)
    if place is None:
        return [Finding(FAIL, " ".join(places), "can't be written to by qmail-remote's user, so "
                        f"mail over {spool.IN_MEMORY} bytes is deferred", "chmod 1777 it, or "
                        + remedy)]
    state = os.statvfs(place)
    free = state.f_bavail * state.f_frsize
    text = f"has {free >> 20} MB free for copies of messages over {spool.IN_MEMORY >> 20} MB"
    if free >= ENOUGH_ROOM:
        return [Finding(OK, place, text)]
    return [Finding(FAIL if free < LEAST_ROOM else WARN, place, text + ", without which they are "
                    "deferred", "make room there, or " + remedy)]
