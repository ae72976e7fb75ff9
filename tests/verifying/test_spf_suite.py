# SPDX-License-Identifier: MIT
"""SPF by the openspf test suite for RFC 7208.

Its cases also say what exp= explains.  This is not looked up here, so only the results
are compared; no case is left out.
"""

import pytest

from lib.verifying import spf
from tests.support import spf_suite
from tests.support.spf_zones import packed

# Where the suite takes several results for right: ours, which is pyspf's, too.
CHOICES = {
    "multispf1": "permerror",                       # two records, which are the same
    "invalid-domain-empty-label": "fail",           # names that can't be in the DNS: no match
    "invalid-domain-long": "fail",
    "invalid-domain-long-via-macro": "fail",
    "p-macro-multiple": "pass",                     # a name below the domain comes first
    "ptr-limit": "neutral",                         # the 11th PTR record is ignored
}


@pytest.fixture(scope="module")
def cases(request, tmp_path_factory):
    cache = getattr(request.config, "cache", None)
    return spf_suite.cases(cache.mkdir(spf_suite.PACKAGE) if cache
                           else tmp_path_factory.mktemp("suite"))


def status(case):
    return spf.evaluate(packed(case.address), case.sender.encode(), case.helo.encode(),
                        case.zone.find).status


def test_every_case(cases):
    assert len(cases) == 203
    wrong = {name: (status(case), case.results) for name, case in cases.items()
             if status(case) not in case.results}
    assert not wrong


def test_choices(cases):
    assert CHOICES == {name: status(case) for name, case in cases.items()
                       if len(case.results) > 1}
