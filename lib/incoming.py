# SPDX-License-Identifier: MIT
"""Takes one message through verification, from descriptor 0 to what comes next."""

import posix

from . import annotation, maillog, message, queueing, resident_exchange, spool


def verify(way, in_force):
    """-> exit code, unless this process becomes DKQUEUE.

    way: of queueing.way_to_run(); in_force: Settings.  Raises Trouble, OSError.
    """
    terms = resident_exchange.Terms(in_force.number("DKRSAMIN", "bits"),
                                    in_force.is_on("DKPOLICY"), in_force.authserv_id())
    seconds = in_force.seconds("DKTIMEOUT")
    large_files = in_force.temporary_directory()
    original = spool.from_start(0, large_files)
    header, body = message.split(message.chunks(original))
    report, note = resident_report(in_force["DKSERVER"], original, header, terms)
    if report is None:
        report = own_report(header, body, terms, in_force["DNSCACHEIP"], seconds)

    code = queueing.verdict(in_force.letters(), report.letter)
    line = queueing.log_line(way, code, report.words + note)
    if code != queueing.ACCEPTED:
        maillog.tell(line)
        return queueing.refuse(code, report, in_force)
    size = posix.fstat(original).st_size
    annotated = 1 if way == queueing.FILTER else spool.anonymous_file(size, large_files)
    annotation.write(annotated, report.fields, header, report.removable, original)
    maillog.tell(line)
    return queueing.hand_on(way, annotated, in_force)


def resident_report(path, fd, header, terms):
    """-> (the resident verifier's Report, or None; what the log is to say of it)."""
    if header.too_long or not resident_exchange.is_there(path, fd):
        return None, ""
    try:
        return resident_exchange.ask(path, fd, header, terms), "; resident"
    except resident_exchange.NoAnswer as reason:
        return None, f"; no answer of {path}: {reason}"


def own_report(header, body, terms, addresses, seconds):
    """The Report of this process.  addresses, seconds: as of lookups.Lookups"""
    import time
    from . import inbound, lookups      # what the resident verifier saves
    dns = lookups.Lookups(addresses, seconds)
    limits = inbound.Limits(terms.least_rsa_bits, terms.dkpolicy)
    examination = inbound.examine(header, body, limits, dns.txt, int(time.time()))
    return report(examination, terms.authserv_id, dns.spent)


def report(examination, authserv_id, seconds):
    """The Report of an inbound.Examination.

    authserv_id: bytes; seconds: spent with the DNS
    """
    from . import inbound
    words = [f"{examination.status_word} ({examination.letter})"]
    words += [f"{result.protocol}={result.status} d={result.domain} s={result.selector}"
              + (f" ({result.reason})" if result.reason else "")
              for result in examination.results]
    words.append(f"dns {seconds:.3f} s")
    domains = dict.fromkeys(result.domain for result in examination.results if result.domain)
    return resident_exchange.Report(
        examination.letter, "; ".join(words), list(domains),
        inbound.header_fields(examination, authserv_id),
        lambda header: inbound.fields_to_remove(header, authserv_id))
