# SPDX-License-Identifier: MIT
"""Verifies one message on descriptor 0, and refuses it or passes it on."""

import posix

from .. import maillog
from ..mail import message
from ..qmail import queue, spool
from . import annotation, exchange
from .report import Report, Terms

# Enhanced status codes: no passing signature (RFC 7372 section 3.1), and more than one kind of
# authentication that failed (section 3.3).
NO_GOOD_SIGNATURE, NOTHING_PASSES = "7.20", "7.26"

FOR_POLICIES = 0.25     # share of DKTIMEOUT that is left for DMARC and SPF

REJECT = "by the DMARC policy of {}: neither DKIM nor SPF shows that it is genuine"


def verify(way, settings, unanswered=None):
    """Verifies the message.  Returns the exit code, unless this process becomes DKQUEUE.

    way: of queue.way_to_run(); settings: Settings
    unanswered: why the resident verifier gave the launcher no answer (str), None if it was
    not asked
    Raises Trouble, OSError; once the header is read, an exception has the words of
    origin.described() in its attribute origin.
    """
    terms = Terms(settings.number("DKRSAMIN", "bits"), settings.is_on("DKPOLICY"),
                  settings.authserv_id(), settings.dmarc() != "off")
    original = spool.from_start(0, settings.temporary_directory)
    header, body = message.split(message.chunks(original))
    try:
        return verified(way, settings, terms, original, header, body, unanswered)
    except Exception as trouble:
        from . import origin      # imported here so that accepted mail does not pay for it
        # For explain(), which writes the line and knows no header.
        trouble.origin = origin.described(       # type: ignore[attr-defined]
            way, settings.environment, header)
        raise


def verified(way, settings, terms, original, header, body, unanswered):
    """Verifies a message whose header is read.  Returns and raises as verify().

    terms: Terms; original: its descriptor; header, body: of message.split()
    """
    seconds = settings.seconds("DKTIMEOUT")
    large_files = settings.temporary_directory
    if terms.dmarc:
        terms.client = known_client(way, settings, header)
    report, note = resident_report(settings["DKSERVER"], original, header, terms, unanswered)
    if report is None:
        report = own_report(header, body, terms, settings["DNSCACHEIP"], seconds)

    code = queue.verdict(settings.letters(), report.letter)
    why = reason(report), NO_GOOD_SIGNATURE
    if code == queue.ACCEPTED and report.rejecting and settings.dmarc() == "refuse":
        code, why = queue.REJECTED, (REJECT.format(report.rejecting), NOTHING_PASSES)
    line = queue.log_line(way, code, report.words + note)
    if code != queue.ACCEPTED:
        from . import origin
        end = "; " + origin.described(way, settings.environment, header)
        maillog.tell(line[:maillog.LONGEST - len(end)] + end)
        return queue.refuse(code, *why, settings)
    size = posix.fstat(original).st_size
    annotated = 1 if way == queue.FILTER else spool.anonymous_file(size, large_files)
    annotation.write(annotated, report, header, original, terms.authserv_id)
    maillog.tell(line)
    return queue.hand_on(way, annotated, settings)


def known_client(way, settings, header):
    """Returns the client.Client of the message, None if it is not known.

    way: of queue.way_to_run(); header: its message.Header.  Raises OSError, ReadTrouble,
    SpoolTrouble.
    """
    from ..qmail import envelope
    from . import client
    if way == queue.QUEUE:
        envelope.keep(settings.temporary_directory)
    return client.of_message(header, settings.environment,
                             envelope.sender(way, settings.environment))


def reason(report):
    """Returns the reason (str), for the sender, why the message of a Report is refused."""
    from .letters import REASONS
    return (f"by DKIM or DomainKeys policy: {REASONS[report.letter]}"
            + (f" ({', '.join(report.domains)})" if report.domains else ""))


def resident_report(path, fd, header, terms, unanswered):
    """Returns (the resident verifier's Report, or None; the words about that for the log).

    path: of its socket; fd: of the message; header: its message.Header; terms: Terms
    unanswered: as in verify(); the server is not asked twice
    """
    if header.too_long:
        return None, ""
    if unanswered is None:
        if not exchange.is_there(path, fd):
            return None, ""
        try:
            return exchange.ask(path, fd, header, terms), "; resident"
        except exchange.NoAnswer as reason:
            unanswered = str(reason)
    return None, f"; no answer of {path}: {unanswered}"


def own_report(header, body, terms, addresses, seconds):
    """Verifies in this process; returns its Report.  addresses, seconds: as in budget.Lookups"""
    import time
    from ..lookup import budget      # the resident verifier saves this import
    from . import examination        # and this one
    dns = budget.Lookups(addresses, seconds,
                         reserved=seconds * FOR_POLICIES if terms.dmarc else 0)
    examined = examination.examine(header, body, terms, dns.find, int(time.time()))
    return reported(examined, header, terms.authserv_id, dns.spent)


def reported(examined, header, authserv_id, seconds):
    """Returns the Report of an examination.Examination.

    header: message.Header; authserv_id: bytes; seconds: time spent on the DNS (float)
    """
    from . import examination
    words = [f"{examined.status_word} ({examined.letter})"]
    words += [f"{result.protocol}={result.status} d={result.domain} s={result.selector}"
              + (f" ({result.reason})" if result.reason else "")
              for result in examined.results]
    rejecting = ""
    if examined.policies:
        from . import sender_policies
        words += sender_policies.words(examined.policies)
        rejecting = sender_policies.rejecting(examined.policies)
    if examined.dkim2:
        words.append("no DomainKey-Status, which would break the DKIM2 signature")
    words.append(f"dns {seconds:.3f} s")
    domains = dict.fromkeys(result.domain for result in examined.results if result.domain)
    return Report(
        examined.letter, "; ".join(words), list(domains),
        examination.header_fields(examined, authserv_id),
        set() if header.too_long else examination.fields_to_remove(header, authserv_id),
        rejecting)
