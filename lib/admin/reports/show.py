# SPDX-License-Identifier: MIT
"""Shows reports as a table for a terminal, and as JSON."""

from ..findings import as_line, counted
from ..tables import cut, rest, share
from .store import ALTERED, BROKEN, FORGED, FORWARDED, PASSING, UNSIGNED
from .summary import date

WORDS = {PASSING: "ours", FORWARDED: "forwarded", UNSIGNED: "ours, not signed",
         BROKEN: "ours, signature broken", ALTERED: "signature broken on the way",
         FORGED: "forged or forgotten"}
WIDTH = 40              # characters of the first column
RECEIVER = 24           # of the second, where there is one


def table(summary, findings, names, most, colour):
    """Returns the lines of a table, list of str.

    summary: summary.Summary; findings: list of Finding; names: {address: host name}
    most: lines of each part; colour: whether the terminal shows colours
    """
    lines = [heading(summary)]
    if summary.domains:
        lines += (domain_lines(summary, most) + failed_lines(summary, most)
                  + sender_lines(summary, names))
    if findings:
        lines += ["", "what it means", *(as_line(finding, colour) for finding in findings[:most])]
        lines += rest(findings[most:])
    return lines


def heading(summary):
    """Returns what the reports are, str."""
    days = summary.until - summary.since + 1
    if not summary.reports:
        return f"no reports of the last {days} days"
    return (f"{counted(summary.reports, 'report')} of the last {days} days, from "
            f"{counted(summary.receivers, 'receiver')}; the last of {date(summary.last)}")


def domain_lines(summary, most):
    """Returns the lines on how much of the mail passed."""
    lines = ["", f"{'domain':<{WIDTH}}  messages      DKIM  SPF only   neither"]
    for domain in summary.domains[:most]:
        shares = (share(part, domain.messages)
                  for part in (domain.by_dkim, domain.by_spf, domain.neither))
        lines.append(f"{cut(domain.name, WIDTH)}{domain.messages:>10,}"
                     + "".join(f"{text:>10}" for text in shares))
    return lines + rest(summary.domains[most:])


def failed_lines(summary, most):
    """Returns the lines on signatures that failed, of each selector at each receiver."""
    failed = sorted((one for domain in summary.domains for one in domain.signatures if one.failed),
                    key=lambda one: -one.failed)
    if not failed:
        return []
    lines = ["", f"{'signatures that failed':<{WIDTH}}{'receiver':<{RECEIVER}}    failed        of"]
    for one in failed[:most]:
        lines.append(cut(f"{one.selector or '?'}._domainkey.{one.domain}", WIDTH)
                     + cut(one.receiver, RECEIVER) + f"{one.failed:>10,}{one.messages:>10,}"
                     + ("  beside one that passed" if one.beside == one.failed else ""))
    return lines + rest(failed[most:])


def sender_lines(summary, names):
    """Returns the lines on the hosts that sent the mail.  names: {address: host name}"""
    several = len(summary.domains) > 1
    lines = ["", f"{'senders':<{WIDTH}}  messages"]
    for one in summary.senders:
        lines.append(cut(one.address, WIDTH) + f"{one.messages:>10,}  {WORDS[one.kind]}"
                     + f": {one.domain}" * several
                     + (f" ({names[one.address]})" if names.get(one.address) else ""))
    if summary.unlisted > 0:
        lines.append(f"{'others':<{WIDTH}}{summary.unlisted:>10,}")
    return lines


def as_json(summary, findings, names):
    """Returns the same as JSON, all of it, str."""
    import json         # a table needs none

    def sender(one):
        return {"domain": one.domain, "address": one.address, "name": names.get(one.address),
                "what": WORDS[one.kind], "messages": one.messages}

    return json.dumps({
        "since": date(summary.since), "until": date(summary.until), "reports": summary.reports,
        "receivers": summary.receivers,
        "domains": [{"domain": domain.name, "messages": domain.messages, "dkim": domain.by_dkim,
                     "spf_only": domain.by_spf, "neither": domain.neither,
                     "by_sender": {WORDS[kind]: messages for kind, messages
                                   in enumerate(domain.by_kind)}}
                    for domain in summary.domains],
        "signatures": [one._asdict() for domain in summary.domains for one in domain.signatures],
        "senders": [*map(sender, summary.senders)], "other_senders": summary.unlisted,
        "causes": [finding._asdict() for finding in findings]}, indent=1)
