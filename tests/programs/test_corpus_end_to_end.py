# SPDX-License-Identifier: MIT
"""The third-party corpus through the whole program, in both ways to run it.

The DNS is a server on loopback; what the program wrote is read by authres.
"""

import authres
import pytest

from tests.support import corpus, dns_server, queue_driver
from tests.support.corpus import as_stored, zone


def taken_apart(written, message):
    """-> (our Authentication-Results field, our DomainKey-Status field), as str.

    Asserts that the rest is the message: none of the corpus has fields of this host.
    """
    assert written.endswith(message)
    first, second, end = written[:len(written) - len(message)].partition(b"DomainKey-Status: ")
    assert second and end.count(b"\n") == 1
    return first.decode("ascii"), end.decode("ascii").strip()


@pytest.mark.parametrize(
    "entry", [pytest.param(entry, id=entry["id"]) for entry in corpus.entries()])
def test_both_ways(entry, tmp_path):
    message = as_stored(entry)
    host = queue_driver.Host(tmp_path)
    with dns_server.DnsServer(zone(entry)) as server:
        host.environment.update(DKVERIFY="-", DKTIMEOUT="2", DNSCACHEIP=server.address,
                                DKAUTHSERVID="verifier.example.net")
        queued = host.smtpd(message)
        filtered = host.qfilter(message)
    assert (queued.code, filtered.code) == (0, 0), (queued, filtered)
    assert queued.queued["message"] == filtered.output
    field, status = taken_apart(filtered.output, message)
    results = authres.AuthenticationResultsHeader.parse(field).results
    if not entry["signatures"]:
        assert {result.result for result in results} == {"none"} and status == "no signature"
        return
    assert [result.method for result in results] == [
        signature["type"] for signature in entry["signatures"]]
    for result, signature in zip(results, entry["signatures"]):
        assert result.result in corpus.expected(signature), field
    assert status.startswith("good") == ("pass" in [result.result for result in results])
