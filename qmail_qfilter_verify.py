#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Verifies DomainKeys and DKIM on inbound mail.

    QMAILQUEUE=.../qmail_qfilter_verify.py      then becomes DKQUEUE
    qmail-qfilter .../qmail_qfilter_verify.py

Tells by itself which of the two it is; --queue or --filter forces one.
DKVERIFY says which results are refused; without it, and with RELAYCLIENT,
mail passes as it is.  Whatever goes wrong is a temporary error, so that the
sending side tries again: nothing is refused for good or lost by us.
qmail-dk-verify(8) has the settings.
"""

import os
import sys

# qmail-queue's exit codes for our trouble; for any that is not here it is BUG.
EXIT_CODES = {"MemoryError": 51, "SpoolTrouble": 53, "ReadTrouble": 54, "SettingTrouble": 55,
              "Trouble": 71, "OSError": 71, "ImportError": 71}
BUG = 81


def main(arguments):
    """-> exit code."""
    # Under -I, Python does not look for modules beside the script.
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    from lib import queueing, settings

    queueing.occupy_standard_error()
    way = queueing.way_to_run(arguments)
    queueing.refuse_loop(way)
    in_force = settings.Settings(os.environ)
    if "RELAYCLIENT" in os.environ or not in_force.letters():
        return queueing.hand_on(way, 0, in_force)
    return verify(way, in_force)


def verify(way, in_force):
    """-> exit code."""
    # Mail of our own users does not pay for these.
    from lib import annotation, inbound, lookups, maillog, message, queueing, spool

    authserv_id = in_force.authserv_id()
    limits = inbound.Limits(in_force.number("DKRSAMIN", "bits"), in_force.is_on("DKPOLICY"))
    dns = lookups.Lookups(in_force["DNSCACHEIP"], in_force.seconds("DKTIMEOUT"))

    large_files = in_force.temporary_directory()
    original = spool.from_start(0, large_files)
    header, body = message.split(message.chunks(original))
    examination, note = examine(original, header, body, limits, dns, in_force["DKSERVER"])
    code = queueing.verdict(in_force.letters(), examination.letter)
    line = queueing.log_line(way, code, examination, dns.spent, note)
    if code != queueing.ACCEPTED:
        maillog.tell(line)
        return queueing.refuse(code, examination, in_force)

    size = os.fstat(original).st_size
    annotated = 1 if way == queueing.FILTER else spool.anonymous_file(size, large_files)
    annotation.write(annotated, inbound.header_fields(examination, authserv_id), header,
                     lambda part: inbound.fields_to_remove(part, authserv_id), original)
    maillog.tell(line)
    return queueing.hand_on(way, annotated, in_force)


def examine(original, header, body, limits, dns, server):
    """-> (inbound.Examination, a note for the log).

    By the resident server, if it answers in time; else here.  server: its path
    """
    import time
    from lib import inbound, resident_client

    note = ""
    if resident_client.is_worth_asking(server, original, header, limits):
        try:
            found, dns.spent = resident_client.ask(server, original, header, limits)
            return inbound.Examination(found), "resident"
        except resident_client.NoAnswer as reason:
            note = f"no answer of {server}: {reason}"
    return inbound.examine(header, body, limits, dns.txt, int(time.time())), note


def explain(trouble):
    """Writes one line about trouble to descriptor 2 -> exit code.

    Needs nothing of lib/, which may be what is missing.
    """
    text = " ".join(f"{type(trouble).__name__}: {trouble}".split())[:800]
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    try:
        # Under inetd it is a socket: the SMTP connection.
        if os.fstat(2).st_mode & 0o170000 != 0o140000:
            os.write(2, f"qmail-qfilter-verify: deferred: {text}\n".encode())
    except OSError:
        pass
    codes = [EXIT_CODES[kind.__name__] for kind in type(trouble).__mro__
             if kind.__name__ in EXIT_CODES]
    return codes[0] if codes else BUG


if __name__ == "__main__":
    code = BUG
    try:
        code = main(sys.argv[1:])
    except BaseException as trouble:    # the one place where trouble becomes an exit code
        code = explain(trouble)
    finally:
        os._exit(code)
