# SPDX-License-Identifier: MIT
"""Shows reports as a page of HTML with charts."""

import re
from html import escape

from ..findings import visible
from ..tables import share
from ..web_page import legend, more, whole
from . import charts
from .show import heading
from .summary import KEPT, daily, largest

MOST_DOMAINS = 20       # that have charts
MOST_ROWS = 500         # of the table of domains
MOST_FINDINGS = 100
MOST_RECEIVERS = 40     # pairs of a receiver and a selector, of a domain

OPTION = re.compile(r"(--\w+)")     # else browsers break lines behind its hyphens


def page(store, summary, findings, names):
    """Returns the page (str).  Raises StoreTrouble.

    summary: summary.Summary; findings: list of Finding; names: {address: host name}
    """
    parts = [f"<p>{escape(heading(summary))}.</p>\n", table(summary.domains)]
    if findings:
        parts += ["<h2>What it means</h2>\n<ul>\n", *map(item, findings[:MOST_FINDINGS]),
                  "</ul>\n", more(len(findings) - MOST_FINDINGS)]
    for domain in summary.domains[:MOST_DOMAINS]:
        parts += section(store, summary, domain, names)
    return whole("DMARC reports", parts)


def table(domains):
    """Returns the table of domains.  domains: list of summary.Domain"""
    if not domains:
        return ""
    rows = "".join(
        f"<tr><td>{escape(domain.name)}</td><td>{domain.messages:,}</td>" + "".join(
            f"<td>{share(part, domain.messages)}</td>"
            for part in (domain.by_dkim, domain.by_spf, domain.neither)) + "</tr>\n"
        for domain in domains[:MOST_ROWS])
    return ("<table>\n<tr><th>domain</th><th>messages</th><th>DKIM</th><th>SPF only</th>"
            f"<th>neither</th></tr>\n{rows}</table>\n" + more(len(domains) - MOST_ROWS))


def item(finding):
    """Returns a Finding as an item of a list."""
    remedy = OPTION.sub(r'<span class="whole">\1</span>', escape(visible(finding.remedy)))
    remedy = f" <em>Remedy: {remedy}.</em>" if remedy else ""
    return (f'<li class="{finding.level}"><strong>{escape(visible(finding.subject))}</strong>: '
            f"{escape(visible(finding.text))}.{remedy}</li>\n")


def section(store, summary, domain, names):
    """Yields the parts of the section of a summary.Domain.  Raises StoreTrouble."""
    yield f"<h2>{escape(domain.name)}</h2>\n<h3>Messages a day</h3>\n"
    yield charts.columns(daily(store, domain.name, summary.since), summary.since, summary.until)
    yield "\n" + legend(charts.LEGEND)
    yield "<h3>Senders</h3>\n"
    yield charts.senders(senders(domain), names)
    if domain.signatures:
        yield "\n<h3>Signatures that passed, by receiver and selector</h3>\n"
        yield charts.receivers(most_used(domain.signatures))
        yield ("\n<p>Yellow: failed beside another signature that passed, which does no "
               "harm.</p>\n")


def senders(domain):
    """Returns the Senders of a summary.Domain that are shown, a list."""
    return largest((sender for of_kind in domain.senders.values() for sender in of_kind),
                   KEPT)


def addresses(summary):
    """Returns the addresses of all hosts that the page or a table shows, a list."""
    return list(dict.fromkeys(sender.address for shown in (
        summary.senders, *map(senders, summary.domains[:MOST_DOMAINS])) for sender in shown))


def most_used(signatures):
    """Returns the MOST_RECEIVERS largest Signatures, those of one receiver side by side."""
    by_receiver = {}
    for one in signatures:
        by_receiver[one.receiver] = by_receiver.get(one.receiver, 0) + one.messages
    found = sorted(signatures, key=lambda one: (-by_receiver[one.receiver], one.receiver,
                                                -one.messages))
    return found[:MOST_RECEIVERS]
