# SPDX-License-Identifier: MIT
"""Verifies a message's signatures with dkimpy, and with Mail::DKIM or lib/."""

import os
import shutil
import subprocess
import time
from typing import NamedTuple

import dkim
import dkim.util
import dns.exception
import dns.resolver

import lib.mail.message
from lib.crypto import RSA_LEAST
from lib.verifying import examination
from lib.lookup.budget import Lookups
from lib.verifying.report import Terms

from . import Failure, child

PERL_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verify_domainkeys.pl")


class Verdict(NamedTuple):
    """The result of one signature."""
    protocol: str       # "dkim" or "domainkeys"
    result: str         # RFC 8601 section 2.7
    domain: str         # d=
    selector: str       # s=
    verifier: str       # name of the verifier
    detail: str         # the reason, or ""

    def __str__(self):
        detail = f" ({self.detail})" if self.detail else ""
        return (f"{self.protocol}={self.result}{detail} header.d={self.domain} "
                f"header.s={self.selector}, says {self.verifier}")


def verdicts(message, dns_port):
    """Returns the Verdicts of all signatures of a message (bytes, CR LF), DKIM first."""
    return dkim_verdicts(message, dns_port) + domainkeys_verdicts(message, dns_port)


def require_pass(found):
    """Raises Failure unless there are signatures of both kinds, and all pass."""
    for protocol in "dkim", "domainkeys":
        if not any(verdict.protocol == protocol for verdict in found):
            raise Failure(f"{protocol}=none: the message arrived without such a signature")
    failed = [str(verdict) for verdict in found if verdict.result != "pass"]
    if failed:
        raise Failure("not every signature passes: " + "; ".join(failed))


def resolver(dns_port):
    """Returns a dnspython resolver that asks only our DNS server."""
    ours = dns.resolver.Resolver(configure=False)
    ours.nameservers = ["127.0.0.1"]
    ours.port = dns_port
    return ours


def dkim_verdicts(message, dns_port):
    """Returns the Verdicts of dkimpy on the DKIM signatures, topmost first."""
    resolve = resolver(dns_port).resolve

    def txt(name, timeout=5):
        try:
            answer = resolve(name.decode("ascii"), "TXT", search=False, lifetime=timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        return b"".join(answer[0].strings)

    verifier = dkim.DKIM(message)
    values = [value for name, value in verifier.headers if name.lower() == b"dkim-signature"]
    found = []
    for index, value in enumerate(values):
        try:
            passed, detail = verifier.verify(index, dnsfunc=txt), ""
        except (dkim.DKIMException, dns.exception.DNSException) as error:
            passed, detail = False, str(error)
        tags = dkim.util.parse_tag_value(value)
        found.append(Verdict("dkim", "pass" if passed else "fail", tags[b"d"].decode(),
                             tags[b"s"].decode(), "dkimpy", detail))
    return found


def domainkeys_verdicts(message, dns_port):
    """Returns the Verdicts of Mail::DKIM, or of lib/ if Perl has no Mail::DKIM."""
    perl = shutil.which("perl")
    if perl:
        probe = [perl, "-MMail::DKIM::Verifier", "-MNet::DNS", "-e1"]
        if child.run(probe, stderr=subprocess.DEVNULL)[0] == 0:
            return mail_dkim_verdicts(perl, message, dns_port)
    return own_domainkeys_verdicts(message, dns_port)


def mail_dkim_verdicts(perl, message, dns_port):
    """Returns the Verdicts of Perl's Mail::DKIM.  Raises Failure if the script fails."""
    code, output = child.run([perl, PERL_SCRIPT, str(dns_port)], message)
    if code:
        raise Failure(f"{PERL_SCRIPT} ended with exit code {code}")
    found = []
    for line in output.decode("utf-8", "replace").splitlines():
        result, domain, selector, detail = line.split("\t")
        found.append(Verdict("domainkeys", result, domain, selector, "Mail::DKIM",
                             "" if detail == result else detail))
    return found


def own_domainkeys_verdicts(message, dns_port):
    """Returns the Verdicts of lib/ on the DomainKeys signatures, topmost first."""
    header, body = lib.mail.message.split([message.replace(b"\r\n", b"\n")])
    lookups = Lookups(f"127.0.0.1#{dns_port}", child.TIMEOUT)
    examined = examination.examine(header, body, Terms(RSA_LEAST), lookups.find,
                                   int(time.time()))
    return [Verdict(result.protocol, result.status, result.domain, result.selector, "lib/",
                    result.reason)
            for result in examined.results if result.protocol == "domainkeys"]
