# SPDX-License-Identifier: MIT
"""Checks the DMARC record of a domain: RFC 9989, and RFC 9990 for the receivers of reports."""

from ..mail import address, tag_values
from ..verifying import dmarc_record, tree_walk
from .findings import OK, WARN, Finding, on_one_line

LONGEST = 60            # characters of a record that a line shows
POLICIES = {b"none", b"quarantine", b"reject"}
# tag -> its values (RFC 9989 section 4.7); those of others are not checked here.
VALUES = {b"p": POLICIES, b"sp": POLICIES, b"np": POLICIES, b"adkim": {b"r", b"s"},
          b"aspf": {b"r", b"s"}, b"t": {b"y", b"n"}, b"psd": {b"y", b"n", b"u"}}


def findings(domain, signer, find):
    """Checks the record that applies to a domain.

    domain: str; signer: d= of its mail's signatures (str), "" if none signs
    find: function (name, type) -> answer.Answer
    """
    name = record_name(domain)
    answer = find(name.encode(), "TXT")
    if answer.status == "temporary":
        return [Finding(WARN, name, f"no answer: {answer.reason}", "see that the name servers "
                        "answer")]
    texts = [text for text in answer.values if dmarc_record.is_record(text)]
    if len(texts) > 1:
        return [Finding(WARN, name, f"{len(texts)} DMARC records: receivers use none of them",
                        "withdraw all but one")]
    try:
        if texts:
            return record_findings(domain, texts[0], signer, find)
        return no_record_findings(domain, answer.values, signer, find)
    except tree_walk.Unanswered as unanswered:
        return [Finding(WARN, name, f"no answer: {unanswered}", "see that the name servers answer")]


def record_name(domain):
    """Returns the name of a domain's record (RFC 9989 section 4.5)."""
    return "_dmarc." + domain


def no_record_findings(domain, texts, signer, find):
    """Looks for the record that applies to a domain without one, and for one at another name.

    texts: the others at its name, list of bytes.  Raises Unanswered.
    """
    name = record_name(domain)
    publish = f'publish as a TXT record of {name}: "v=DMARC1; p=none; rua=mailto:ADDRESS"'
    found = [Finding(WARN, name, f"a TXT record there is no DMARC record: {shown(text)!r}",
                     'let it begin with "v=DMARC1;", or withdraw it')
             for text in texts]
    walked = tree_walk.Records(find, lambda line: None).walk(domain.encode())
    applies = tree_walk.policy_record(domain.encode(), walked)
    if applies:
        parent, record = applies
        text = f"there is none, so that of {parent.decode()} applies (sp={record.subdomain_policy})"
        return (found + [Finding(OK, name, text)]
                + alignment_findings(domain, record.dkim_strict, signer))
    # Without the final dot in a zone file, the zone's name is added once more.
    for other in domain, f"{name}.{domain}", "dmarc." + domain:
        if any(map(dmarc_record.is_record, find(other.encode(), "TXT").values)):
            return found + [Finding(WARN, name, f"there is none, but {other} has one", publish
                                    + f", and withdraw the one of {other}")]
    if found:
        return found
    return [Finding(WARN, name, "there is none, and large receivers want one", publish)]


def record_findings(domain, text, signer, find):
    """Checks a domain's own record (bytes).  Raises Unanswered."""
    name, record, tags = record_name(domain), dmarc_record.parse(text), dmarc_record.tag_list(text)
    found = [Finding(WARN, name, fault, "correct it") for fault in faults(text, tags)]
    if b"p" not in tags:
        found.append(Finding(WARN, name, "p= is missing", "add p=none, p=quarantine or p=reject"))
    if record.testing:
        found.append(Finding(WARN, name, "t=y: receivers apply a weaker policy", "take it out once "
                             "the reports show that all is well"))
    found += report_findings(domain, tags, find)
    found += alignment_findings(domain, record.dkim_strict, signer)
    return found or [Finding(OK, name, f"p={record.policy}")]


def faults(text, tags):
    """Returns what is wrong with a record's tags, list of str.

    tags: of dmarc_record.tag_list(), which has b"" for one that occurs twice
    """
    found = [f"{shown(part)!r} is no tag" for part in text.split(b";")
             if part.strip() and b"=" not in part]
    for tag, value in tags.items():
        if not value:
            found.append(f"{shown(tag)}= is empty, or there twice")
        elif value.lower() not in VALUES.get(tag, {value.lower()}):
            found.append(f"{shown(tag)}={shown(value)} is not one of: "
                         + " ".join(sorted(map(bytes.decode, VALUES[tag]))))
        elif tag in (b"rua", b"ruf"):
            found += [f"{shown(tag)}= has {shown(uri)!r}, which is no mailto: address"
                      for uri in uris(value) if receiver(uri) is None]
    return found


def uris(value):
    """Returns the URIs in the value of rua= or ruf=, list of bytes."""
    return [uri.strip(tag_values.BLANKS) for uri in value.split(b",")]


def receiver(uri):
    """Returns the domain (bytes) that a mailto: URI sends reports to, or None.

    RFC 9989 section 4.8: a size, which older records have, is not part of the address.
    """
    scheme, _, path = uri.partition(b":")
    mailbox = path.partition(b"?")[0].partition(b"!")[0]
    if scheme.lower() != b"mailto" or not dmarc_record.is_uri(uri) or b"@" not in mailbox:
        return None
    domain = mailbox.rpartition(b"@")[2].lower()
    return domain if address.are_labels(domain, least=2) else None


def report_findings(domain, tags, find):
    """Checks that somebody gets reports, and agrees to that if his domain is another one.

    RFC 9990, "Verifying External Destinations".  Raises Unanswered.
    """
    name = record_name(domain)
    if b"rua" not in tags:
        return [Finding(WARN, name, "it asks nobody for reports, so failures stay unseen",
                        "add rua=mailto:ADDRESS")]
    records = tree_walk.Records(find, lambda line: None)
    found = []
    for other in dict.fromkeys(filter(None, map(receiver, uris(tags[b"rua"])))):
        if (tag_values.is_within(other, domain.encode())
                or records.organization(other) == records.organization(domain.encode())):
            continue
        permission = f"{domain}._report._dmarc.{other.decode()}"
        answer = find(permission.encode(), "TXT")
        if answer.status == "temporary":
            found.append(Finding(WARN, name, f"no answer on {permission}: {answer.reason}",
                                 f"see that the name servers of {other.decode()} answer"))
        elif not any(map(dmarc_record.is_record, answer.values)):
            found.append(Finding(
                WARN, name, f"{other.decode()} does not say that it takes reports on other "
                "domains, so none are sent there", f"publish there, as a TXT record of "
                f'{permission}: "v=DMARC1", or take it out of rua='))
    return found


def alignment_findings(domain, is_strict, signer):
    """Checks that the signatures of a domain's mail are aligned (RFC 9989 section 4.4.1).

    is_strict: whether the record has adkim=s; signer: as in findings()
    """
    if not is_strict or signer in ("", domain):
        return []
    return [Finding(WARN, record_name(domain), f"adkim=s: the signatures have d={signer}, which "
                    f"does not count for {domain}", f"qmail-dk keygen {domain}, or take adkim=s "
                    "out of the record")]


def shown(text):
    """Returns bytes from the DNS as they are shown in a line."""
    return on_one_line(text, LONGEST)
