# SPDX-License-Identifier: MIT
"""Golden signatures: fixed keys, fixed clock, the exact bytes that are handed on.

golden/*.msg are messages as they lie in the queue, golden/*.signed what is
handed on for them; golden/keys are test keys that sign nothing else.  The golden
files don't vouch for themselves: the verifiers pass each of their signatures.
support/golden.py writes them anew.
"""

import pytest

from tests.support import judges
from tests.support.golden import CASES, content, sign


@pytest.mark.parametrize("name", CASES)
def test_golden(name, tmp_path):
    signed, _ = sign(name, tmp_path)
    assert signed == content(name + ".signed")


@pytest.mark.parametrize("name", CASES)
def test_verifiers_accept_golden(name, tmp_path):
    _, records = sign(name, tmp_path)
    message = content(name + ".signed").replace(b"\n", b"\r\n")
    for judge, verdicts in judges.verdicts(message, records).items():
        protocols = CASES[name][2].split()
        if judge != "mail_dkim":
            protocols = [protocol for protocol in protocols if protocol == "dkim"]
        assert [verdict.protocol for verdict in verdicts] == protocols, judge
        assert all(verdict.result in ("pass", "unsupported") for verdict in verdicts), verdicts
