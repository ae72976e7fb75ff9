# SPDX-License-Identifier: MIT
"""The verbs of qmail-dk that make, print and change keys.

Each takes the options and the host.Host, and returns the exit code.
"""

import os

from ..errors import RequestTrouble
from . import check_keys, check_permissions, key_places, published, records, rotation
from .findings import as_line, failures
from .key_places import FORMER, NEXT


def keygen(options, host):
    """Makes a domain's first key; once its record is in the DNS: rotate --activate."""
    domain = key_places.checked_domain(options.domain)
    is_first = not any(
        key_places.is_there(place.path + suffix) for suffix in ("", NEXT)
        for place in key_places.places(domain, host.settings.key_patterns()))
    key = make_next(key_places.free_place, domain, options, host.settings)
    print_comment(options, f"{os.fsdecode(key.path)} does not sign yet.  Publish its record;")
    print_next_step(options, key)
    if options.type == "ed25519":
        print_comment(options, "Many verifiers don't know Ed25519: let an RSA key sign beside it.")
    print_records(options, [key_record("the key", key, options.test)]
                  + [policy_record(domain)] * is_first)
    return 0


def make_next(choose, domain, options, settings):
    """Makes the key that will sign next, as the options say.  Returns its SigningKey.

    choose: function that returns the Place for it, as key_places.free_place()
    """
    patterns = settings.key_patterns()
    key, found = key_places.make_next(
        lambda: choose(domain, patterns, options.type), domain, patterns, options.type,
        options.bits or check_keys.ADVISED_BITS, options.selector, options.group)
    if found:
        print_comment(options, f"{os.fsdecode(key.path)} was there, and nothing named it: it is "
                      "taken.  If somebody may have seen it, make another by --selector.")
    return key


def print_next_step(options, key):
    """Prints how to make a new key (key_files.SigningKey) sign."""
    print_comment(options, "once all name servers have it: "
                  + key_places.rotate_command(key, "--activate"))


def print_comment(options, text):
    """Prints a comment line above entries; name servers ignore it."""
    print(records.comment(text, forms(options)))


def print_records(options, entries):
    """Prints records.  entries: as records of records.zone_data()"""
    print(records.zone_data(entries, forms(options)))


def forms(options):
    """Returns the forms of entries that the options select: list of keys of records.FORMS."""
    return [form for form in records.FORMS if getattr(options, form)] or [
        *records.FORMS]


# value of dns --only -> (suffix of the key's name, remark on the key)
KEYS = {"now": ("", "signs now"), "next": (NEXT, "signs next"), "former": (FORMER, "has signed")}
POLICY = "policy"


def dns(options, host):
    """Prints the entries of a domain's keys, and of its DomainKeys policy: all that belong there.

    During an activation a key has two names; its record is printed once.
    """
    domain = key_places.checked_domain(options.domain)
    patterns = host.settings.key_patterns()
    entries = {}
    with key_places.undisturbed(domain, patterns):
        for place in key_places.places(domain, patterns):
            for kind, (suffix, remark) in KEYS.items():
                key = place.key(suffix) if options.only in (None, kind) else None
                if key is not None:
                    record = key_record(remark, key, options.test)
                    entries.setdefault(record[1], record)
    if options.only == POLICY or entries and options.only is None:
        entries[POLICY] = policy_record(domain)
    if not entries:
        raise RequestTrouble(f"{domain} has no key that {KEYS[options.only][1]}" if options.only
                             else f"{domain} has no key; make one: qmail-dk keygen {domain}")
    print_records(options, entries.values())
    return 0


def key_record(comment, key, test):
    """Returns (comment, name, text) of a key's record.  key: SigningKey; test: with t=y"""
    return (comment, records.key_name(key.selector.decode(), key.domain.decode()),
            records.key_text(key.private_key, test))


def policy_record(domain):
    """Returns (comment, name, text) of a domain's policy record.

    It belongs to the first key: without it tinydns denies the name above the keys.
    """
    return ("DomainKeys policy: some mail is signed (o=-: all is, refuse what is not)",
            records.policy_name(domain), records.POLICY)


def rotate(options, host):
    """Changes a domain's key: makes the next one; then --activate; then --retire."""
    domain = key_places.checked_domain(options.domain)
    if options.force and not options.activate:
        raise RequestTrouble("--force goes with --activate")
    if (options.activate or options.retire) and (
            options.selector or options.group or options.bits or options.bind or options.tinydns):
        raise RequestTrouble("--selector, --bits, --group, --bind and --tinydns are for making "
                             "the next key")
    if options.retire:
        return retire(domain, options, host.settings)
    if options.activate:
        return activate(domain, options, host.settings)
    key = make_next(rotation.place_to_rotate, domain, options, host.settings)
    print_comment(options, f"{os.fsdecode(key.path)} is to sign next.  Publish its record, and "
                  "leave the other;")
    print_next_step(options, key)
    print_records(options, [key_record("the next key", key, False)])
    return 0


def activate(domain, options, settings):
    """Makes the next key sign if qmail-remote can read it and its record is in the DNS."""
    patterns = settings.key_patterns()
    with key_places.undisturbed(domain, patterns):
        place = rotation.place_to_rotate(domain, patterns, options.type)
        key = rotation.next_key(place)
        refuse_failures(check_permissions.reading_findings(place.path + NEXT))
    if not options.force:
        published.require_packages(", or --force")
        found = check_keys.record_findings(key, published.Questions(settings))
        refuse_failures(found, ", or --force")
        print("\n".join(as_line(finding, False) for finding in found))
    key = rotation.activate(place, key)
    print(f"{os.fsdecode(key.path)} signs from now on; next: "
          + (key_places.rotate_command(key, "--retire") if key_places.is_there(place.path + FORMER)
             else f"qmail-dk check {place.domain}"))
    return 0


def refuse_failures(findings, otherwise=""):
    """Raises RequestTrouble for the first failure in findings.  otherwise: another remedy"""
    for finding in failures(findings):
        raise RequestTrouble(f"not activated: {finding.subject}: {finding.text}; "
                             f"remedy: {finding.remedy}{otherwise}")


def retire(domain, options, settings):
    """Prints the steps that are left for the key that has been replaced."""
    patterns = settings.key_patterns()
    with key_places.undisturbed(domain, patterns):
        place = rotation.place_to_rotate(domain, patterns, options.type)
        former = rotation.former_key(place)
        others = rotation.others_that_use(former, patterns)
    lifetime = rotation.queue_lifetime(settings.control)
    print(f"{former.selector} was replaced on {rotation.date(former.replaced)}.\n"
          f"Mail that it signed may be in queues for {lifetime} seconds (control/queuelifetime).\n"
          f"1. Its record {records.key_name(former.selector, place.domain)} must stay in the "
          f"DNS until {rotation.date(former.replaced + lifetime)}; then withdraw it.")
    if others:
        print(f"2. The private key must stay, since others sign with it: {' '.join(others)}\n"
              f"   Only its link here is not needed any more: rm {former.files[0]}")
    else:
        print(f"2. The private key is not needed any more: rm {' '.join(former.files)}")
    return 0
