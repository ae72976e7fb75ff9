# SPDX-License-Identifier: MIT
"""Writes DMARC aggregate reports, of both forms, as receivers send them."""

import base64
import gzip
import io
import json
import random
import sys
import time
import zipfile

from tests.support.memory import MEASURED

DAY = 86400
BEGIN = int(time.time()) // DAY * DAY - 6 * DAY     # of the range of a report
NEW_NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"      # RFC 9990
OLD_NAMESPACE = "http://dmarc.org/dmarc-xml/0.1"        # RFC 7489


def record(address="192.0.2.1", count=1, dkim="pass", spf="pass",
           signatures=(("example.com", "s1", "pass"),), form=7489):
    """Returns a record.  signatures: (domain, selector, result) of each"""
    signed = "".join(
        f"<dkim><domain>{domain}</domain><selector>{selector}</selector><result>{result}</result>"
        "<human_result>some words</human_result></dkim>" for domain, selector, result in signatures)
    scope = "<scope>mfrom</scope>"
    disposition = "pass" if form == 9990 and "pass" in (dkim, spf) else "none"
    return f"""<record>
  <row>
    <source_ip>{address}</source_ip>
    <count>{count}</count>
    <policy_evaluated>
      <disposition>{disposition}</disposition>
      <dkim>{dkim}</dkim>
      <spf>{spf}</spf>
    </policy_evaluated>
  </row>
  <identifiers>
    <header_from>example.com</header_from>
    <envelope_from>example.com</envelope_from>
  </identifiers>
  <auth_results>
    {signed}<spf><domain>example.com</domain>{scope}<result>{spf}</result></spf>
  </auth_results>
</record>
"""


def report(*records, organization="receiver.example", identifier="r1", domain="example.com",
           begin=BEGIN, end=None, policy="none", form=7489, root="", start=None):
    """Returns a report as XML (bytes).

    form: 7489 or 9990, the RFC; root: attributes of the outermost element
    start: what is before it; by default an XML declaration
    """
    root = root or (f' xmlns="{NEW_NAMESPACE}"' if form == 9990 else "")
    start = '<?xml version="1.0" encoding="UTF-8"?>\n' if start is None else start
    of_form = ("<np>none</np><testing>n</testing><discovery_method>treewalk</discovery_method>"
               if form == 9990 else "<adkim>r</adkim><aspf>r</aspf><pct>100</pct>")
    end = begin + DAY - 1 if end is None else end
    return f"""{start}<feedback{root}>
<version>1.0</version>
<report_metadata>
  <org_name>{organization}</org_name>
  <email>reports@{organization}</email>
  <report_id>{identifier}</report_id>
  <date_range><begin>{begin}</begin><end>{end}</end></date_range>
</report_metadata>
<policy_published>
  <domain>{domain}</domain><p>{policy}</p><sp>{policy or 'none'}</sp>{of_form}
</policy_published>
{''.join(records or [record(form=form)])}</feedback>
""".encode()


def zipped(data, name="receiver.example!example.com!1!2.xml", method=zipfile.ZIP_DEFLATED):
    """Returns a zip file (bytes) that has one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def mailed(data, kind="application/gzip", encoding="base64", text="This is a report.\n"):
    """Returns a message (bytes) with an attachment; encoding: base64 or 8bit"""
    content = base64.encodebytes(data) if encoding == "base64" else data
    return b"".join([
        f"From: reports@receiver.example\nTo: dmarc@example.com\nSubject: Report Domain: "
        f"example.com Submitter: receiver.example Report-ID: <r1>\nMIME-Version: 1.0\n"
        f"Date: Tue, 24 Nov 2026 00:00:00 +0000\nMessage-ID: <r1@receiver.example>\n"
        f'Content-Type: multipart/mixed;\n\tboundary="=_of the/report"\n\n'
        f"For readers without MIME.\n--=_of the/report\nContent-Type: text/plain\n\n{text}"
        f"--=_of the/report\nContent-Type: {kind}; name=\"report\"\n"
        f"Content-Disposition: attachment;\n filename=report\n"
        f"Content-Transfer-Encoding: {encoding}\n\n".encode(), content,
        b"\n--=_of the/report--\n"])


# {name: function that wraps XML (bytes) as it may arrive}
WRAPPED = {
    "xml": bytes,
    "gzip": gzip.compress,
    "zip": zipped,
    "gzip in mail": lambda xml: mailed(gzip.compress(xml)),
    "zip in mail": lambda xml: mailed(zipped(xml), "application/zip"),
    "xml in mail": lambda xml: mailed(xml, "text/xml", "8bit"),
    "as the whole mail": lambda xml: (
        b"From: a@receiver.example\nContent-Type: application/gzip\n"
        b"Content-Transfer-Encoding: BASE64\n\n" + base64.encodebytes(gzip.compress(xml))),
}


class Reports:
    """Runs qmail-dk reports with a database of its own.

    admin: administrator.Administrator, in an otherwise empty directory
    """

    def __init__(self, admin):
        self.admin = admin
        self.place = admin.directory / "lib"
        self.place.mkdir()
        self.database = self.place / "reports.sqlite"
        (admin.keys / "example.com").mkdir(parents=True)

    def add(self, *arguments, stdin=b"", **options):
        """Runs reports add.  Returns a subprocess.CompletedProcess."""
        return self.admin.run("reports", "add", "--database", self.database, *arguments,
                              stdin=stdin, **options)

    def added(self, data, *arguments):
        """Adds a report on standard input, which must be a good one.  Returns what is said."""
        done = self.add(*arguments, stdin=data)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def show(self, *arguments):
        """Runs reports.  Returns its output."""
        return self.admin.succeed("reports", "--database", self.database, *arguments)

    def sums(self, *arguments):
        """Returns what reports --json says."""
        return json.loads(self.show("--json", *arguments))

    def measured(self, command, stdin):
        """Runs qmail-dk.  Returns (CompletedProcess, MiB that it had at most)."""
        path = self.admin.directory / "memory"
        done = self.admin.run(*command, stdin=stdin, command=[
            sys.executable, "-IS", "-c", MEASURED, str(path)])
        return done, int(path.read_text()) / 1024


def many(count, records, domains=("example.com", "example.net"), seed=1):
    """Yields (name of a file, message) for reports of both forms, by several receivers.

    records: of each; seed: of the random numbers, which make the same reports again
    """
    numbers = random.Random(seed)
    receivers = [("google.com", 7489), ("Yahoo", 7489), ("Enterprise Outlook", 7489),
                 ("receiver.example", 9990), ("Mail &amp; More", 9990)]
    for number in range(count):
        organization, form = receivers[number % len(receivers)]
        domain = domains[number // len(receivers) % len(domains)]
        xml = report(*[random_record(numbers, domain, form) for _ in range(records)], form=form,
                     organization=organization, identifier=f"{number}@{domain}", domain=domain,
                     begin=BEGIN - number // 20 % 20 * DAY)
        if number % 2:
            yield f"{number:05}.zip.eml", mailed(zipped(xml), "application/zip")
        else:
            yield f"{number:05}.gz.eml", mailed(gzip.compress(xml))


def random_record(numbers, domain, form):
    """Returns a record of one of our hosts, a forwarder, a list or a forger.

    numbers: random.Random; domain: of the report; form: 7489 or 9990
    """
    of, kind = numbers.random(), numbers.random()
    own = [(domain, f"s{numbers.randrange(3)}", "pass"), (domain, "ed1", "neutral")]
    if of < 0.3:
        address = f"192.0.2.{numbers.randrange(1, 9)}"
        dkim, spf, signatures = ("pass", "pass", own) if kind < 0.8 else ("fail", "pass", [])
    elif of < 0.5:
        address = f"2001:db8::{numbers.randrange(1, 2000):x}"
        dkim, spf, signatures = ("pass", "fail", own[:1]) if kind < 0.5 else ("fail", "fail", [
            (domain, own[0][1], "fail"), ("list.example", "x", "pass")])
    else:
        address = ".".join(map(str, (10, *(numbers.randrange(1, 255) for _ in range(3)))))
        dkim, spf, signatures = "fail", "fail", []
    return record(address, numbers.randrange(1, 30), dkim, spf, signatures, form)
