# SPDX-License-Identifier: MIT
"""Checks that mail from a domain can be answered: receivers refuse other mail."""

from .findings import OK, WARN, Finding

NULL = (0, b".")        # the domain takes no mail (RFC 7505)


def findings(domain, find):
    """Checks the MX records of a signing domain (str), else its addresses.

    find: function (name, type) -> answer.Answer
    """
    subject = f"MX of {domain}"
    found = find(domain.encode(), "MX")
    if found.status == "temporary":
        return [Finding(WARN, subject, f"no answer: {found.reason}",
                        "see that its name servers answer")]
    if found.values == [NULL]:
        return [Finding(WARN, subject, "says that the domain takes no mail, so some receivers "
                        "refuse mail from it", "publish the name of the host that takes it, if "
                        "addresses of the domain send mail")]
    if found.values:
        return [Finding(OK, subject, "is there")]
    # RFC 5321 section 5.1: then the domain's own addresses take its mail.
    if find(domain.encode(), "A").values or find(domain.encode(), "AAAA").values:
        return [Finding(OK, subject, "there is none, so the domain's own address takes its mail")]
    return [Finding(WARN, subject, "there is none, nor an address of the domain, so nobody can "
                    "answer its mail, and some receivers refuse it",
                    "publish the name of the host that takes it")]
