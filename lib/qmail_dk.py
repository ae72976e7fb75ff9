# SPDX-License-Identifier: MIT
"""qmail-dk, the administrator's command: keys, their records, and what is wrong.

Run as a script by the launcher.  One function for each verb, each with the
options and the settings in force; what it returns is the exit code.
"""

import argparse
import os
import signal
import sys
import time

if __name__ == "__main__":
    # Under -I, Python does not look for modules beside the script.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import (                                                   # noqa: E402
    admin_check, admin_explain, admin_findings, admin_installation, admin_keys, admin_packages,
    admin_records, admin_rotate, admin_running, lookups, maillog, message, results, spool)
from lib.admin_keys import FORMER, NEXT                             # noqa: E402
from lib.errors import RequestTrouble, SettingTrouble, Trouble      # noqa: E402

# Exit codes besides those of the verbs: qmail's own for "wrong" and "try again".
MISUSED = 100
TROUBLE = 111

STREAM = "-"


def keygen(options, in_force):
    """Makes a domain's first key; once its record is in the DNS: rotate --activate."""
    domain = admin_keys.checked_domain(options.domain)
    place = admin_keys.free_place(domain, in_force["DKSIGN"], options.type)
    key = make_next(place, options)
    print(f"; {os.fsdecode(key.path)} does not sign yet.  Publish its record;")
    print_next_step(key)
    if options.type == "ed25519":
        print("; Many verifiers don't know Ed25519: let an RSA key sign beside it.")
    print(admin_records.zone_data([key_record("the key", key, options.test)]))
    return 0


def make_next(place, options):
    """Makes the key that is to sign next, as the options say -> its keys.SigningKey."""
    return admin_keys.make_next(place, options.type, options.bits or admin_check.ADVISED_BITS,
                                options.selector, options.group)


def print_next_step(key):
    """Says how a new key (keys.SigningKey) comes to sign."""
    print("; once all name servers have it: " + admin_keys.rotate_command(key, "--activate"))


def dns(options, in_force):
    """Prints the records of a domain's keys, and of its DomainKeys policy."""
    domain = admin_keys.checked_domain(options.domain)
    records = []
    for place in admin_keys.places(domain, in_force["DKSIGN"]):
        for suffix, comment in (("", "signs now"), (NEXT, "signs next"), (FORMER, "has signed")):
            key = place.key(suffix)
            if key is not None:
                records.append(key_record(comment, key, options.test))
    if not records:
        raise RequestTrouble(f"{domain} has no key; make one: qmail-dk keygen {domain}")
    records.append(("DomainKeys policy: some mail is signed (o=-: all is, refuse what is not)",
                    admin_records.policy_name(domain), admin_records.POLICY))
    print(admin_records.zone_data(records))
    return 0


def key_record(comment, key, test):
    """(comment, name, text) of a key's record.  key: keys.SigningKey"""
    return (comment, admin_records.key_name(key.selector.decode(), key.domain.decode()),
            admin_records.key_text(key.private_key, test))


def check(options, in_force):
    """Checks keys, records and the installation."""
    from lib import admin_resident, admin_trial
    domains = ([admin_keys.checked_domain(domain) for domain in options.domains]
               or admin_keys.domains(in_force["DKSIGN"]))
    installation = admin_installation.recorded()
    running = admin_running.rspawn()
    asks = not admin_packages.flaws()       # installation.findings() says what is lacking
    findings = admin_check.resolver_findings(resolver(in_force), in_force) if asks else []
    for domain in domains:
        findings += admin_check.domain_findings(domain, in_force,
                                                resolver(in_force) if asks else None)
    if not domains:
        findings.append(admin_check.no_domain(in_force))
    findings += admin_installation.findings(installation, in_force, running)
    if installation:
        findings += admin_resident.findings(installation, in_force, running)
    for domain in domains if installation else ():
        findings += admin_trial.findings(
            domain, admin_installation.launcher(installation, running), in_force, asks)
    if options.json:
        print(admin_findings.as_json(findings))
    else:
        for finding in findings:
            print(admin_findings.as_line(finding, sys.stdout.isatty()))
    return admin_findings.exit_status(findings)


def rotate(options, in_force):
    """Changes a domain's key: makes the next one; then --activate; then --retire."""
    domain = admin_keys.checked_domain(options.domain)
    if options.force and not options.activate:
        raise RequestTrouble("--force goes with --activate")
    if (options.activate or options.retire) and (
            options.selector or options.group or options.bits):
        raise RequestTrouble("--selector, --bits and --group are for making the next key")
    place = admin_rotate.place_to_rotate(domain, in_force["DKSIGN"], options.type)
    if options.retire:
        return retire(place, in_force)
    if options.activate:
        return activate(place, options, in_force)
    key = make_next(place, options)
    print(f"; {os.fsdecode(key.path)} is to sign next.  Publish its record, and leave the other;")
    print_next_step(key)
    print(admin_records.zone_data([key_record("the next key", key, False)]))
    return 0


def activate(place, options, in_force):
    """Makes the next key sign, if qmail-remote can read it and its record is in the DNS."""
    key = admin_rotate.next_key(place)
    refuse_failures(admin_check.reading_findings(place.path + NEXT))
    if not options.force:
        require_packages(", or --force")
        refuse_failures(admin_check.record_findings(key, resolver(in_force)), ", or --force")
    admin_rotate.activate(place)
    key = place.key()
    print(f"{os.fsdecode(key.path)} signs from now on; next: "
          + (admin_keys.rotate_command(key, "--retire") if admin_keys.is_there(place.path + FORMER)
             else f"qmail-dk check {place.domain}"))
    return 0


def refuse_failures(findings, otherwise=""):
    """Raises RequestTrouble for the first of findings that fails.  otherwise: another remedy"""
    for finding in admin_findings.failures(findings):
        raise RequestTrouble(f"not activated: {finding.subject}: {finding.text}; "
                             f"remedy: {finding.remedy}{otherwise}")


def retire(place, in_force):
    """Says what is left to do with the key that has been replaced."""
    former = admin_rotate.former_key(place)
    lifetime = admin_rotate.queue_lifetime(in_force.control)
    print(f"{former.selector} was replaced on {admin_rotate.date(former.replaced)}.\n"
          f"Mail that it signed may be in queues for {lifetime} seconds (control/queuelifetime).\n"
          f"1. Its record {admin_records.key_name(former.selector, place.domain)} must stay in the "
          f"DNS until {admin_rotate.date(former.replaced + lifetime)}; then withdraw it.")
    others = admin_rotate.others_that_use(former, in_force["DKSIGN"])
    if others:
        print(f"2. The private key must stay, for others sign with it: {' '.join(others)}\n"
              f"   Only its link here is not needed any more: rm {former.files[0]}")
    else:
        print(f"2. The private key is not needed any more: rm {' '.join(former.files)}")
    return 0


def sign(options, in_force):
    """Signs the message on standard input."""
    maillog.terminal = True
    received = spool.from_start(0)
    signed = admin_explain.sign(received, options.sender, in_force)
    with open(signed, "rb") as file:
        for piece in iter(lambda: file.read(message.CHUNK), b""):
            sys.stdout.buffer.write(piece)
    if signed == received:
        print("qmail-dk: not signed; qmail-dk why - says why", file=sys.stderr)
        return 1
    return 0


def verify(options, in_force):
    """Explains the signatures of the message on standard input."""
    require_packages()
    from lib import admin_verify, inbound
    header, body = message.split(text_of(spool.from_start(0)))
    limits = inbound.Limits(in_force.number("DKRSAMIN", "bits"))
    lines, passes = admin_verify.explain(header, body, limits, resolver(in_force),
                                         int(time.time()))
    print("\n".join(lines))
    return 0 if passes else 1


def why(options, in_force):
    """Says how the signer treats the mail of a domain or an author, or a message."""
    name = options.subject
    has_cr = False
    if name == STREAM or os.path.isfile(name):
        fd = spool.from_start(0) if name == STREAM else os.open(name, os.O_RDONLY)
        header, _ = message.split(message.without_cr(message.chunks(fd)))
        has_cr = message.has_cr(fd) and not is_saved_with_crlf(fd)
    elif "/" in name:
        raise RequestTrouble(f"{name} is not a file")
    else:
        header = admin_explain.header_of(admin_keys.checked_domain(name.rpartition("@")[2]))
    maillog.terminal = True
    lines, signs = admin_explain.why(header, has_cr, os.fsencode(options.sender), in_force)
    print("\n".join(lines))
    return 0 if signs else 1


def text_of(fd):
    """The chunks of a message; of one that was saved with CR LF, as its lines were."""
    chunks = message.chunks(fd)
    return message.without_cr(chunks) if is_saved_with_crlf(fd) else chunks


def is_saved_with_crlf(fd):
    """Whether all lines of a file end in CR LF, and it has no other CR."""
    pairs = cr = lf = 0
    held = b""
    for chunk in message.chunks(fd):
        pairs += (held + chunk).count(b"\r\n")
        cr += chunk.count(b"\r")
        lf += chunk.count(b"\n")
        held = b"\r" if chunk.endswith(b"\r") else b""
    return 0 < pairs == cr == lf


def require_packages(otherwise=""):
    """Raises RequestTrouble where the packages are lacking.  otherwise: another remedy"""
    lacking = admin_packages.flaws()
    if lacking:
        raise RequestTrouble(f"the DNS can't be asked: {lacking}; "
                             f"remedy: {admin_packages.REMEDY}{otherwise}")


def resolver(in_force):
    """The look-up function: of a name (bytes) -> results.TxtAnswer.

    Its look-ups together have the time that those of one message have.
    A setting that makes no sense is in the answer: the rest can still be checked.
    """
    made = []

    def lookup(name):
        try:
            if not made:
                made.append(lookups.Lookups(in_force["DNSCACHEIP"], in_force.seconds("DKTIMEOUT")))
            return made[0].txt(name)
        except SettingTrouble as trouble:
            return results.TxtAnswer("temporary", [], str(trouble))
    return lookup


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(MISUSED, f"{self.prog}: {message}; {self.prog} --help shows the usage\n")


def parser():
    """The arguments of all verbs."""
    top = Parser(prog="qmail-dk", description=__doc__.partition("\n")[0], allow_abbrev=False)
    verbs = top.add_subparsers(metavar="VERB", required=True)

    def verb(function):
        added = verbs.add_parser(function.__name__, help=function.__doc__, allow_abbrev=False,
                                 description=function.__doc__)
        added.set_defaults(verb=function)
        return added

    def key_options(added):
        added.add_argument("--selector", help="its name; default: one with today's date")
        added.add_argument("--type", choices=admin_keys.PREFIXES, default="rsa",
                           help="default: rsa; ed25519 only beside it")
        added.add_argument("--bits", type=int,
                           help=f"of RSA; default: {admin_check.ADVISED_BITS}")
        added.add_argument("--group", help=f"that may read it; default: {admin_keys.GROUP}")

    making = verb(keygen)
    making.add_argument("domain")
    key_options(making)
    making.add_argument("--test", action="store_true", help="a record with t=y")
    printing = verb(dns)
    printing.add_argument("domain")
    printing.add_argument("--test", action="store_true", help="records with t=y")
    checking = verb(check)
    checking.add_argument("domains", nargs="*", metavar="domain", help="default: all with a key")
    checking.add_argument("--json", action="store_true")
    rotating = verb(rotate)
    rotating.add_argument("domain")
    key_options(rotating)
    step = rotating.add_mutually_exclusive_group()
    step.add_argument("--activate", action="store_true", help="makes the next key sign")
    step.add_argument("--retire", action="store_true", help="says what to withdraw, and when")
    rotating.add_argument("--force", action="store_true", help="activates without asking the DNS")
    signing = verb(sign)
    signing.add_argument("--sender", default="", help="envelope sender")
    verb(verify)
    explaining = verb(why)
    explaining.add_argument("subject", metavar="domain|address|file", help="- is standard input")
    explaining.add_argument("--sender", default="", help="envelope sender")
    return top


def main(arguments):
    """-> exit code."""
    for number in signal.SIGHUP, signal.SIGTERM:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))    # tidies up
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.stderr is None:      # closed; print() would take the other
        sys.stderr = open(os.devnull, "w", encoding="ascii")
    if sys.stdout is None:
        print("qmail-dk: standard output is closed", file=sys.stderr)
        return TROUBLE
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    try:
        in_force = admin_installation.settings_in_force(admin_running.rspawn())
        code = options.verb(options, in_force)
        sys.stdout.flush()
        return code
    except RequestTrouble as trouble:
        code, reason = MISUSED, str(trouble)
    except OSError as trouble:
        code, reason = TROUBLE, f"{trouble.filename or 'input or output'}: {trouble.strerror}"
        drop_output()
    except (Trouble, ImportError) as trouble:
        code, reason = TROUBLE, str(trouble)
    except KeyboardInterrupt:
        code, reason = 128 + signal.SIGINT, "interrupted"
    print("qmail-dk: " + " ".join(reason.split()), file=sys.stderr)
    return code


def drop_output():
    """What is not written yet won't be: Python would try once more, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
