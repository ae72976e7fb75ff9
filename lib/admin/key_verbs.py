# SPDX-License-Identifier: MIT
"""The verbs of qmail-dk that make, print and change keys.

Each takes the options and the host.Host, and returns the exit code.
"""

import os

from ..errors import RequestTrouble
from . import (
    check_keys, check_permissions, distribution, due, key_places, many, published, records,
    removal, rotation,
)
from .findings import as_line, failures
from .key_places import FORMER, NEXT, REMOVED


def keygen(options, host):
    """Makes domains' first keys; once their records are in the DNS: rotate --activate."""
    return many.for_each(many.listed(options.domains),
                         lambda domain: make_first(domain, options, host.settings))


def make_first(domain, options, settings):
    """Makes a domain's first key, and prints its record."""
    is_first = not any(
        key_places.is_there(place.path + suffix) for suffix in ("", NEXT)
        for place in key_places.places(domain, settings.key_patterns()))
    key = make_next(key_places.free_place, domain, options, settings)
    print_comment(options, f"{os.fsdecode(key.path)} does not sign yet.  Publish its record;")
    print_next_step(options, key)
    if options.type == "ed25519":
        print_comment(options, "Many verifiers don't know Ed25519: let an RSA key sign beside it.")
    print_records(options, [key_record("the key", key, options.test)]
                  + [policy_record(domain)] * is_first)


def make_next(choose, domain, options, settings):
    """Makes the key that will sign next, as the options say.  Returns its SigningKey.

    choose: function that returns the Place for it, as key_places.free_place()
    """
    patterns = settings.key_patterns()
    if options.bits is not None and options.type != "rsa":
        raise RequestTrouble("--bits is for RSA keys")
    key, found = key_places.make_next(
        lambda: choose(domain, patterns, options.type), domain, patterns, options.type,
        check_keys.ADVISED_BITS if options.bits is None else options.bits, options.selector,
        options.group)
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


# value of dns --only -> (suffixes of the keys' names, remark on them)
KEYS = {"now": ([""], "signs now"), "next": ([NEXT], "signs next"),
        "former": ([FORMER, REMOVED], "has signed")}
POLICY = "policy"


def dns(options, host):
    """Prints the entries of domains' keys and DomainKeys policies: all that belong in the DNS."""
    patterns = host.settings.key_patterns()
    return many.for_each(many.listed(options.domains),
                         lambda domain: print_entries(domain, options, patterns))


def print_entries(domain, options, patterns):
    """Prints the entries of a domain.  patterns: DKSIGN

    During an activation a key has two names; its record is printed once.
    """
    entries = {}
    with key_places.undisturbed(domain, patterns):
        for place in key_places.places(domain, patterns):
            for kind, (suffixes, remark) in KEYS.items():
                for suffix in suffixes if options.only in (None, kind) else ():
                    key = place.key(suffix)
                    if key is not None:
                        record = key_record(remark, key, options.test)
                        entries.setdefault(record[1], record)
    if options.only == POLICY or entries and options.only is None:
        entries[POLICY] = policy_record(domain)
    if not entries:
        raise RequestTrouble(f"{domain} has no key that {KEYS[options.only][1]}" if options.only
                             else f"{domain} has no key; make one: qmail-dk keygen {domain}")
    print_records(options, entries.values())


def key_record(comment, key, test):
    """Returns (comment, name, text) of a key's record.  key: SigningKey; test: with t=y"""
    return comment, records.name_of(key), records.key_text(key.private_key, test)


def policy_record(domain):
    """Returns (comment, name, text) of a domain's policy record.

    It belongs to the first key: without it tinydns denies the name above the keys.
    """
    return ("DomainKeys policy: some mail is signed (o=-: all is, refuse what is not)",
            records.policy_name(domain), records.POLICY)


def rotate(options, host):
    """Changes keys: makes the next one; then --activate; then --retire.  Or all that is --due."""
    refuse_odd(options)
    settings = host.settings
    if options.due:
        return due.rotate(many.listed(options.domains), settings, options.bits, options.group)
    names = (key_places.domains(settings.key_patterns(), ("",)) if options.all
             else many.listed(options.domains))
    if not names:
        raise RequestTrouble("no domain has a key" if options.all
                             else "which domain?  --due and --all are for all of them")
    step = retire if options.retire else activate if options.activate else make_and_print_next
    return many.for_each(names, lambda domain: step(domain, options, settings))


def refuse_odd(options):
    """Raises RequestTrouble for options of rotate that do not go together."""
    if options.force and not options.activate:
        raise RequestTrouble("--force goes with --activate")
    if options.all and options.domains:
        raise RequestTrouble("--all is for all domains, so name none")
    if options.due and (options.selector or options.type != "rsa"):
        raise RequestTrouble("--due chooses selectors and types by the keys that sign")
    if (options.activate or options.retire or options.due) and (
            options.selector or options.bind or options.tinydns
            or not options.due and (options.group or options.bits is not None)):
        raise RequestTrouble("--selector, --bits, --group, --bind and --tinydns are for making "
                             "the next key")


def make_and_print_next(domain, options, settings):
    """Makes the key that is to sign next, and prints its record."""
    key = make_next(rotation.place_to_rotate, domain, options, settings)
    print_comment(options, f"{os.fsdecode(key.path)} is to sign next.  Publish its record, and "
                  "leave the other;")
    print_next_step(options, key)
    print_records(options, [key_record("the next key", key, False)])


def activate(domain, options, settings):
    """Makes the next key sign if qmail-remote can read it and its record is in the DNS."""
    patterns, hosts = settings.key_patterns(), distribution.Distribution(settings)
    with key_places.undisturbed(domain, patterns):
        place = rotation.place_to_rotate(domain, patterns, options.type)
        key = rotation.next_key(place)
        refuse_failures(check_permissions.reading_findings(place.path + NEXT))
    if not options.force:
        published.require_packages(", or --force")
        found = check_keys.record_findings(key, published.Questions(settings))
        refuse_failures(found, ", or --force")
        print("\n".join(as_line(finding, False) for finding in found))
    key = hosts.activate(place, key)
    print(f"{os.fsdecode(key.path)} signs from now on; next: "
          + (key_places.rotate_command(key, "--retire") if key_places.is_there(place.path + FORMER)
             else f"qmail-dk check {place.domain}"))
    hosts.settle(place)


def refuse_failures(findings, otherwise=""):
    """Raises RequestTrouble for the first failure in findings.  otherwise: another remedy"""
    for finding in failures(findings):
        raise RequestTrouble(f"not activated: {finding.subject}: {finding.text}; "
                             f"remedy: {finding.remedy}{otherwise}")


def retire(domain, options, settings):
    """Prints the steps that are left for the keys that do not sign any more."""
    patterns = settings.key_patterns()
    with key_places.undisturbed(domain, patterns):
        if removal.is_removed(domain, patterns):
            found = removal.left(domain, patterns)
        else:
            place = rotation.place_to_rotate(domain, patterns, options.type)
            found = [(place, rotation.former_key(place, suffix))
                     for suffix in rotation.leaving(place) or [FORMER]]
        paths = rotation.paths_by_file(patterns, ("", NEXT))
        steps = [(place, former, rotation.others_that_use(former, paths))
                 for place, former in found]
    for place, former, others in steps:
        print_steps(place, former, others, settings.control)


def print_steps(place, former, others, control):
    """Prints what is left to do for a rotation.Former.  others: links that lead to its file"""
    lifetime = rotation.queue_lifetime(control)
    until = rotation.date(rotation.needed_until(former, control))
    print(f"{former.selector} was replaced on {rotation.date(former.replaced)}.\n"
          f"Mail that it signed may be in queues for {lifetime} seconds (control/queuelifetime).\n"
          f"1. Its record {records.key_name(former.selector, place.domain)} must stay in the "
          f"DNS until {until}; then withdraw it.")
    if others:
        print(f"2. The private key must stay, since others sign with it: {' '.join(others)}\n"
              f"   Only its link here is not needed any more: rm {former.files[0]}")
    else:
        print(f"2. The private key is not needed any more: rm {' '.join(former.files)}")


def remove(options, host):
    """Ends signing as domains; the records stay until mail in transit has arrived."""
    directories = key_places.by_directory(host.settings.key_patterns())
    return many.for_each(many.listed(options.domains),
                         lambda domain: remove_domain(domain, directories, host.settings))


def remove_domain(domain, directories, settings):
    """Ends signing as a domain, and says what is left to do.

    directories: of key_places.by_directory(), which looks at the keys of all domains
    """
    patterns, hosts = settings.key_patterns(), distribution.Distribution(settings)
    places = removal.stop(domain, patterns, directories, hosts)
    parent = check_keys.signing_domain(domain, settings)
    print(f"{domain} does not sign any more"
          + (f"; its mail is signed as {parent} from now on" if parent else "")
          + f"; qmail-dk rotate --due, or rotate {domain} --retire, does the rest:")
    for place, former in removal.left(domain, patterns):
        print(f"{records.key_name(former.selector, place.domain)} stays in the DNS until "
              + rotation.date(rotation.needed_until(former, settings.control)))
    for place in places:
        hosts.settle(place)
