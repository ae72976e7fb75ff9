# SPDX-License-Identifier: MIT
"""Shows reports as one page of HTML: it needs no other file, no script and no network."""

import os
import re
from html import escape

from ..findings import visible
from . import charts
from .show import heading, share
from .summary import KEPT, daily, largest

MOST_DOMAINS = 20       # that have charts
MOST_ROWS = 500         # of the table of domains
MOST_FINDINGS = 100
MOST_RECEIVERS = 40     # pairs of a receiver and a selector, of a domain

STYLE = """
:root { color-scheme: light dark; --text: #1a202c; --page: #fff; --line: #cbd5e0;
  --good: #2b6cb0; --fair: #d69e2e; --bad: #c53030 }
@media (prefers-color-scheme: dark) { :root { --text: #e2e8f0; --page: #171923;
  --line: #4a5568; --good: #63b3ed; --fair: #ecc94b; --bad: #fc8181 } }
body { color: var(--text); background: var(--page); font: 16px/1.5 sans-serif;
  margin: 0 auto; padding: 0 1rem 3rem; max-width: 40rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.25rem; margin-top: 2.5rem }
h2, li, td { overflow-wrap: anywhere }
td:first-child { min-width: 5rem } td + td, .whole { white-space: nowrap }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .25rem .5rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left }
@media (max-width: 30rem) { table { font-size: .875rem } th, td { padding-right: .25rem } }
ul { padding: 0; list-style: none } li { margin: .75rem 0; padding-left: .75rem;
  border-left: 4px solid var(--good) }
li.warn { border-color: var(--fair) } li.FAIL { border-color: var(--bad) }
svg { display: block; width: 100%; max-width: 28rem; font: 12.5px sans-serif; fill: var(--text) }
.good { fill: var(--good) } .fair { fill: var(--fair) } .bad { fill: var(--bad) }
.line { stroke: var(--line); fill: none } .strong { font-weight: bold }
.legend span { display: inline-block; margin-right: 1rem }
.legend i { display: inline-block; width: .75em; height: .75em; margin-right: .4em }
i.good { background: var(--good) } i.fair { background: var(--fair) }
i.bad { background: var(--bad) }
"""

OPTION = re.compile(r"(--\w+)")     # else browsers break lines behind its hyphens

START = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>DMARC reports</title>
<style>{STYLE}</style>
</head>
<body>
<h1>DMARC reports</h1>
"""
END = "</body>\n</html>\n"


def write(path, page):
    """Writes a page (str) in the place of a file, which is whole at every instant.

    Raises OSError.
    """
    new = f"{path}.{os.getpid()}.new"
    try:
        with open(new, "w", encoding="utf-8") as file:
            file.write(page)
        os.replace(new, path)
    except OSError:
        if os.path.lexists(new):
            os.unlink(new)
        raise


def page(store, summary, findings, names):
    """Returns the page (str).  Raises StoreTrouble.

    summary: summary.Summary; findings: list of Finding; names: {address: host name}
    """
    parts = [START, f"<p>{escape(heading(summary))}.</p>\n", table(summary.domains)]
    if findings:
        parts += ["<h2>What it means</h2>\n<ul>\n", *map(item, findings[:MOST_FINDINGS]),
                  "</ul>\n", more(len(findings) - MOST_FINDINGS)]
    for domain in summary.domains[:MOST_DOMAINS]:
        parts += section(store, summary, domain, names)
    return "".join([*parts, END])


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


def more(left):
    """Returns a line on what is left out, "" if nothing is."""
    return f"<p>and {left:,} more</p>\n" if left > 0 else ""


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
    yield '\n<p class="legend">' + "".join(
        f'<span><i class="{colour}"></i>{words}</span>'
        for colour, words in charts.LEGEND.items()) + "</p>\n"
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
