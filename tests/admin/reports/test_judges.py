# SPDX-License-Identifier: MIT
"""What other readers find in the same reports: parsedmarc, and dmarc-report.

parsedmarc has so many requirements that it needs an environment of its own; its command
must be in PATH.
"""

import collections
import email
import json
import shutil
import subprocess

import pytest

from tests.support import aggregate_reports
from tests.support.administrator import admin       # noqa: F401


@pytest.fixture
def reports(admin):
    """Reports of both forms in messages, which have been added."""
    reports = aggregate_reports.Reports(admin)
    reports.files = admin.directory / "files"
    reports.files.mkdir()
    for name, message in aggregate_reports.many(40, 30):
        (reports.files / name).write_bytes(message)
    reports.said = reports.add(reports.files, "--domain", "example.net").stdout
    return reports


def by_parsedmarc(directory):
    """Yields each record as (domain, receiver, address, messages, dkim, spf, signatures)."""
    program = shutil.which("parsedmarc") or pytest.skip("needs parsedmarc in PATH")
    said = subprocess.run([program, "--offline", *sorted(map(str, directory.iterdir()))],
                          capture_output=True, check=True).stdout
    for report in json.loads(said)["aggregate_reports"]:
        for record in report["records"]:
            evaluated = record["policy_evaluated"]
            yield (report["policy_published"]["domain"], report["report_metadata"]["org_name"],
                   record["source"]["ip_address"], record["count"], evaluated["dkim"],
                   evaluated["spf"], [(signature["domain"], signature["selector"],
                                       signature["result"])
                                      for signature in record["auth_results"]["dkim"]])


def by_dmarc_report(directory):
    """Yields the same."""
    parser = pytest.importorskip("dmarc_report.parser", reason="needs the package dmarc-report")
    for path in sorted(directory.iterdir()):
        _, attachment = email.message_from_bytes(path.read_bytes()).get_payload()
        report = parser.DMARCParser.parse_bytes(attachment.get_payload(decode=True))
        for record in report.records:
            yield (report.policy_published.domain, report.report_metadata.org_name,
                   record.source_ip, record.count, record.policy_evaluated.dkim,
                   record.policy_evaluated.spf,
                   [(signature.domain, signature.selector, signature.result)
                    for signature in record.auth_results.dkim])


@pytest.mark.parametrize("judge", [by_parsedmarc, by_dmarc_report])
def test_counts_agree(reports, judge):
    domains, signatures, senders = (collections.Counter() for _ in range(3))
    for domain, receiver, address, messages, dkim, spf, signed in judge(reports.files):
        column = "dkim" if dkim == "pass" else "spf_only" if spf == "pass" else "neither"
        domains[domain, column] += messages
        senders[domain, address] += messages
        for of, selector, result in signed:
            if of == domain:
                signatures[domain, selector, receiver, result == "pass"] += messages
    assert reports.said.startswith(f"40 reports added, of {sum(domains.values()):,} messages\n")
    sums = reports.sums()
    ours = collections.Counter()
    for row in sums["domains"]:
        ours.update({(row["domain"], name): row[name] for name in ("dkim", "spf_only", "neither")})
    assert ours == domains and len(domains) == 6
    ours.clear()
    for row in sums["signatures"]:
        key = row["domain"], row["selector"], row["receiver"]
        ours.update({(*key, True): row["messages"] - row["failed"], (*key, False): row["failed"]})
    assert +ours == signatures and len(signatures) > 20
    ours.clear()
    for row in sums["senders"]:
        ours[row["domain"], row["address"]] += row["messages"]
    assert ours == senders
