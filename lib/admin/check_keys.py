# SPDX-License-Identifier: MIT
"""Checks the keys of a domain, as the signer reads them and as verifiers see their records."""

import contextlib
import os

from .. import crypto
from ..errors import CryptoTrouble, KeyTrouble, RequestTrouble, SettingTrouble
from ..mail import address
from ..settings import PROTOCOLS, first_line
from ..signing import key_files
from ..lookup.answer import CUT
from . import check_key_directories, check_permissions, key_places, records
from .findings import FAIL, OK, WARN, Finding, failures
from .key_places import FORMER, NEXT

ADVISED_BITS = 2048         # RFC 8301 section 3.2


def domain_findings(domain, settings, questions):
    """Checks all keys of a domain, or of its parent that signs its mail.

    domain: of key_places.checked_domain(); settings: settings.Settings
    questions: published.Questions, or None to skip the DNS
    """
    findings, signs, waits = [], False, False
    removed = check_key_directories.removed_findings(domain, settings)
    for place in key_places.places(domain, settings.key_patterns()):
        if key_places.is_there(place.path):
            findings += [finding for finding in place_findings(place, questions)
                         if finding not in findings]
            signs = True
        else:
            closed = check_key_directories.closed_findings(place)
            findings += closed
            signs = signs or bool(closed)       # mail is deferred, not unsigned
        if os.path.lexists(place.path + NEXT):
            findings += next_findings(place, questions)
            waits = True
        if os.path.lexists(place.path + FORMER) and not removed:
            findings += former_findings(place, settings, questions)
    if signs:
        return findings
    findings += removed
    parent = signing_domain(domain, settings)
    if parent:
        findings.append(Finding(OK, domain, f"has no key that signs, so that of {parent} does"))
        return (findings + domain_findings(parent, settings, questions)
                + strict_findings(domain, parent, settings, questions))
    if waits:
        findings.append(Finding(FAIL, domain, "its key does not sign yet, so its mail is not "
                                "signed", "see what is said of that key"))
    elif not removed:
        findings.append(Finding(FAIL, domain, f"has no key by DKSIGN ({settings['DKSIGN']}), so "
                                "its mail is not signed", f"qmail-dk keygen {domain}"))
    return findings


def signing_domain(domain, settings):
    """Returns the first of a domain and its parents that has a key (str), "" if none has."""
    patterns = settings.key_patterns()
    return next((parent.decode() for parent in address.with_parents(domain.encode())
                 if any(key_places.is_there(place.path)
                        for place in key_places.places(parent.decode(), patterns))), "")


def strict_findings(domain, parent, settings, questions):
    """Warns of t=s in the record of a parent's key, which Mail::DKIM applies to DomainKeys, too.

    RFC 4870 section 3.2.3 knows only t=y, so most verifiers, and ours, do not.
    domain: whose mail is signed by the parent; otherwise as for domain_findings()
    """
    if questions is None or "domainkeys" not in settings.words("DKPROTOCOLS", PROTOCOLS):
        return []
    strict = set()
    for _, suffix, key in readable_keys(parent, settings):
        name = records.key_name(key.selector.decode(), parent)
        texts = [] if suffix else [text for _, answer in questions.ask(name.encode()).answers
                                   for text in answer.values]
        if any(b"s" in record.flags for record in parsed(texts, name)[0]):
            strict.add(name)
    return [Finding(WARN, name, f"t=s: Mail::DKIM and SpamAssassin refuse the DomainKeys signature "
                    f"of mail from {domain}", "take t=s out of the record, or qmail-dk keygen "
                    + domain) for name in sorted(strict)]


def place_findings(place, questions):
    """Checks the key that signs.  place: key_places.Place"""
    key, findings = read_key(place, "", "mail is deferred until the file is a readable private key")
    if key is None:
        return findings
    findings += check_key_directories.age_findings(key)
    return findings + (published_findings(place, key, questions) if questions else [])


def published_findings(place, key, questions):
    """Checks what the DNS has for a key that signs.  place, key: as for misnamed_findings()"""
    def find():
        found = misnamed_findings(place, key, questions) or record_findings(key, questions)
        if not failures(found):
            found += remembered_findings(key, questions) + denied_findings(key, questions)
        return found
    return questions.once((place.path, os.fsdecode(key.path)), find)


def ask_ahead(keys, questions):
    """Asks what domain_findings() will ask.  keys: of readable_keys(); may run in a thread"""
    for place, suffix, key in keys:
        if suffix:
            record_findings(key, questions)
        else:
            published_findings(place, key, questions)


def readable_keys(domain, settings):
    """Returns the keys of a domain, or of its parent that signs its mail, that can be read.

    A list of (key_places.Place, suffix, key_files.SigningKey).
    """
    found = []
    for name in dict.fromkeys([domain, signing_domain(domain, settings) or domain]):
        for place in key_places.places(name, settings.key_patterns()):
            for suffix in "", NEXT, FORMER:
                with contextlib.suppress(KeyTrouble, CryptoTrouble):
                    key = place.key(suffix)
                    found += [(place, suffix, key)] if key else []
    return found


def next_findings(place, questions):
    """Checks the key that will sign next; a missing record does no harm until then."""
    path = place.path + NEXT
    key, findings = read_key(place, NEXT, f"rm {path}")
    if key is None:
        return findings
    activate = key_places.rotate_command(key, "--activate")
    if questions is None:
        return findings + [Finding(WARN, path, "does not sign yet", activate)]
    missing = failures(record_findings(key, questions))
    if missing:
        return findings + [Finding(WARN, fault.subject, f"{fault.text}; {path} waits for it",
                                   f"{fault.remedy}, then {activate}") for fault in missing]
    return findings + [Finding(WARN, path, "does not sign yet, but its record is in the DNS",
                               activate)]


def former_findings(place, settings, questions):
    """Checks the key that has signed before; mail in transit still needs its record."""
    path = place.path + FORMER
    key, findings = read_key(place, FORMER, f"rm {path}")
    if key is None:
        return findings
    when, needed = check_key_directories.former_findings(place, key, settings)
    if not needed:
        return when
    return findings + when + (record_findings(key, questions) if questions else [])


def read_key(place, suffix, remedy):
    """Returns (key_files.SigningKey or None, Findings on its file).

    suffix: as in Place.key(); remedy: for a file that can't be used as a key
    """
    path = place.path + suffix
    findings = check_permissions.reading_findings(path)
    try:
        key = place.key(suffix)
    except KeyTrouble as trouble:
        if isinstance(trouble.__cause__, PermissionError) and os.geteuid() != 0:
            return None, findings       # this user need not be able to read it
        if leads_nowhere(trouble):
            return None, [Finding(WARN if suffix else FAIL, path, str(trouble), remedy)]
        return None, findings + [Finding(FAIL, path, str(trouble), remedy)]
    if key is None:
        return None, []     # it has just been removed
    return key, (findings + check_permissions.permission_findings(os.fsdecode(key.path))
                 + size_findings(key))


def leads_nowhere(trouble):
    """Returns whether a KeyTrouble was caused by a link to nothing."""
    return getattr(trouble.__cause__, "errno", None) in key_files.NO_SUCH_FILE


def size_findings(key):
    """Checks that verifiers accept the size of a SigningKey (RFC 8301 section 3.2)."""
    subject, bits = os.fsdecode(key.path), key.private_key.bits
    remedy = f"qmail-dk rotate {key.domain.decode()}"
    if key.private_key.algorithm != "rsa":
        return [Finding(OK, subject, "Ed25519; an RSA key must sign beside it")]
    if bits < crypto.RSA_LEAST:
        return [Finding(FAIL, subject, f"RSA of {bits} bits is too small for DKIM", remedy)]
    if bits < ADVISED_BITS or bits > key_places.RSA_BITS[1]:
        return [Finding(WARN, subject, f"RSA of {bits} bits: advised are {ADVISED_BITS}, and some "
                        f"verifiers take no more than {key_places.RSA_BITS[1]}", remedy)]
    return [Finding(OK, subject, f"RSA of {bits} bits")]


def record_findings(key, questions):
    """Compares the record that each name server has with the key (key_files.SigningKey)."""
    name = records.name_of(key)
    said = questions.ask(name.encode())
    alike = {}
    for who, answer in said.answers:
        alike.setdefault((answer.status, tuple(sorted(answer.values)), answer.reason),
                         (answer, []))[1].append(who)
    findings = []
    lags = any(answer.status == "found" for _, answer in said.answers)
    for answer, who in alike.values():
        by = (f" (says the resolver; no name server of the domain can be asked: {said.instead})"
              if said.instead else f" (says {', '.join(who)})")
        findings += [finding._replace(text=finding.text + by)
                     for finding in answer_findings(name, answer, key, said.instead)]
        if lags and answer.status == "none":
            findings[-1] = findings[-1]._replace(
                remedy="others have it: see that this one gets the zone (serial, transfer), and "
                       "wait for it")
    return findings


def answer_findings(name, answer, key, instead):
    """Checks one answer.Answer for a key's name.  instead: as in published.Said"""
    publish = f"publish what qmail-dk dns {key.domain.decode()} prints"
    if answer.status == "temporary":
        if CUT in answer.reason or CUT in instead:      # the resolver can't help either
            return [Finding(FAIL if instead else WARN, name, f"no answer: {answer.reason}",
                            "see that its name server answers over TCP, too (beside tinydns runs "
                            "axfrdns), and let 53/tcp through")]
        if instead:
            return [Finding(FAIL, name, f"the DNS can't be asked: {answer.reason}",
                            "see that the resolver works (DNSCACHEIP, else /etc/resolv.conf)")]
        return [Finding(WARN, name, f"no answer: {answer.reason}",
                        "see that this name server runs, or take it out of the NS records")]
    if answer.status == "none":
        wait = " (resolvers remember for a while that it was not there)" if instead else ""
        return [Finding(FAIL, name, f"is not in the DNS: {answer.reason}", publish + wait)]
    whole = [text for text in answer.values if not is_cut(text, key)]
    found, findings = parsed(whole, name)
    if len(whole) < len(answer.values):
        findings.append(Finding(FAIL, name, "the record is only the beginning of the right one: it "
                                "is cut", f"{publish}, all strings of it"))
    elif len(found) != 1:
        text = f"{len(found)} key records: verifiers take any of them" if found else "no key record"
        findings.append(Finding(FAIL, name, text, publish + " and nothing else"))
    for record in found:
        findings += [Finding(level, name, text, publish)
                     for level, text in record_faults(record, key.private_key)]
    return findings or [Finding(OK, name, "the record is that of the key")]


def remembered_findings(key, questions):
    """Warns if the resolver's records match no name server's, because it was asked too early."""
    name = records.name_of(key)
    said = questions.ask(name.encode())
    if said.instead:
        return []
    answer = questions.by_resolver(name.encode())
    if answer.status == "temporary" or any(set(answer.values) == set(other.values)
                                           for _, other in said.answers):
        return []
    return [Finding(WARN, name, "the resolver remembers what was there before: "
                    + (answer.reason or "another record"), "wait, or restart it; others may "
                    "remember it, too, until the TTL or the SOA's negative TTL is over")]


def denied_findings(key, questions):
    """Finds name servers that deny the name above a key's, as tinydns does if it has no record.

    RFC 8020: below a name that does not exist there is nothing.  The resolver is not asked:
    it might believe that.
    """
    domain = key.domain.decode()
    if questions.ask(records.name_of(key).encode()).instead:
        return []
    name = records.policy_name(domain)
    denying = [who for who, answer in questions.ask(name.encode()).answers
               if (answer.status, answer.reason) == ("none", "NXDOMAIN")]
    if not denying:
        return []
    return [Finding(WARN, name, "does not exist, so some resolvers do not look for keys below it "
                    f"(says {', '.join(denying)})",
                    f"publish what qmail-dk dns {domain} --only policy prints")]


def misnamed_findings(place, key, questions):
    """Finds the record of a key at another name, if there is none at its own.

    Older tools keep the selector elsewhere, or use a link's own name as the selector.
    """
    domain = key.domain.decode()
    name = records.name_of(key)
    if any(answer.status != "none" for _, answer in questions.ask(name.encode()).answers):
        return []
    for selector in other_selectors(place, key):
        other = records.key_name(selector, domain)
        texts = [text for _, answer in questions.ask(other.encode()).answers
                 for text in answer.values]
        if any(record.public_key == key.private_key.public_key()
               for record in parsed(texts, other)[0]):
            return [Finding(FAIL, name, f"is not in the DNS, but {other} has this key",
                            rename_command(place, key, selector))]
    return []


def other_selectors(place, key):
    """Yields the selectors (str) that an older tool may have used for a key."""
    prefix = "rsa.private_"         # of a key file made by a script called domainkey
    own = key.selector.decode()
    directory = os.path.dirname(os.fsdecode(key.path))
    for selector in (place.name, own[len(prefix):] if own.startswith(prefix) else "",
                     written_selector(directory)):
        with contextlib.suppress(RequestTrouble):
            if key_places.checked_selector(selector) != own:
                yield selector


def written_selector(directory):
    """Returns the first line of the file "selector" beside the keys (str), "" if there is none."""
    with contextlib.suppress(SettingTrouble):
        return first_line(os.path.join(directory, "selector")) or ""
    return ""


def rename_command(place, key, selector):
    """Returns the shell commands (str) that rename a key so that it has another selector.

    They replace the pattern's own name only, because any other name may be a key.
    """
    own = place.name
    directory, file = os.path.split(os.fsdecode(key.path))
    renamed = (f"ln {file} {own}.new" if selector == own
               else f"ln {file} {selector} && ln -s {selector} {own}.new")
    return f"cd {directory} && {renamed} && mv -f {own}.new {own}"


def parsed(texts, name):
    """Returns (key_record.KeyRecords among the texts, Findings on the others).  texts: of bytes"""
    from ..verifying import key_record      # imported late, because it needs the packages
    from ..verifying.dkimpy import Malformed
    found, findings = [], []
    for text in texts:
        try:
            found.append(key_record.parse(text))
        except Malformed as malformed:
            # Some verifiers read only the first record, or join all records into one.
            level = FAIL if b"p=" in text else WARN
            shown = text[:60].decode("ascii", "backslashreplace")
            findings.append(Finding(level, name, f"one of its TXT records is not a key record "
                                    f"({malformed}): {shown!r}", "withdraw it"))
    return found, findings


def is_cut(text, key):
    """Returns whether a record (bytes) ends within a SigningKey's p=, as if a string were lost."""
    from ..mail import tag_values
    from ..verifying import dkimpy
    right = records.key_text(key.private_key).rpartition("p=")[2].encode()
    try:
        found = tag_values.without_blanks(dkimpy.tag_list(text).get(b"p", b""))
    except dkimpy.Malformed:
        return False
    return (bool(found) and found not in (right, right.rstrip(b"="))
            and right.startswith(found))


def is_same_key(record, private_key):
    """Returns whether the p= of a KeyRecord is this RSA key, in either encoding."""
    from ..verifying import dkimpy
    try:
        return (private_key.algorithm == "rsa" and dkimpy.rsa_public_key(record.public_key)
                == dkimpy.rsa_public_key(private_key.public_key()))
    except dkimpy.Malformed:
        return False


def record_faults(record, private_key):
    """Returns the faults of a KeyRecord for a crypto.PrivateKey; list of (level, text)."""
    hashes = record.hashes
    other = not record.revoked and record.public_key != private_key.public_key()
    same = other and is_same_key(record, private_key)
    faults = (
        (record.revoked, FAIL, "p= is empty: the key is revoked"),
        (other and not same, FAIL, "p= is not the public half of this private key"),
        # RFC 6376 says RSAPublicKey, but its examples have SubjectPublicKeyInfo (erratum 3017).
        (same, WARN, "p= is this key as an RSAPublicKey, a form that some verifiers refuse"),
        (record.key_type != private_key.algorithm.encode(), FAIL,
         f"k= is not {private_key.algorithm}"),
        (record.version not in (None, b"DKIM1"), FAIL, "v= is not DKIM1"),
        (record.version_is_late, WARN, "v= is not the first tag, as RFC 6376 demands, so some "
         "verifiers may refuse the key"),
        (hashes is not None and b"sha256" not in hashes, FAIL, "h= excludes sha256"),
        (hashes is not None and b"sha1" not in hashes and private_key.algorithm == "rsa", WARN,
         "h= excludes sha1, which DomainKeys signatures need"),
        (not {b"*", b"email"} & set(record.services), FAIL, "s= excludes mail"),
        (record.test_mode, WARN, "t=y: verifiers treat its mail as unsigned; take it out once "
         "all is well"),
        (bool(record.granularity) and record.granularity != b"*", WARN,
         "g= limits DomainKeys to some addresses"),
    )
    return [(level, text) for wrong, level, text in faults if wrong]
