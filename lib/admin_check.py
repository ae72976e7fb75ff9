# SPDX-License-Identifier: MIT
"""Checks the keys of a domain: as the signer reads them, and as verifiers see them."""

import contextlib
import os
import stat
import time

from . import address, admin_account, admin_keys, admin_records, admin_rotate, crypto, settings
from .admin_findings import FAIL, OK, WARN, Finding, failures
from .admin_keys import FORMER, NEXT
from .errors import KeyTrouble, RequestTrouble, SettingTrouble
from .settings import QMAIL

PROBE = b"_domainkey.example.com"   # a name that can be asked for everywhere
ADVISED_BITS = 2048         # RFC 8301 section 3.2


def domain_findings(domain, in_force, lookup):
    """The Findings on all keys of a domain, or of the one above it that signs its mail.

    domain: of admin_keys.checked_domain(); in_force: settings.Settings
    lookup: function of a name (bytes) -> results.TxtAnswer, or None to leave
    the DNS out
    """
    findings, signs, waits = [], False, False
    for place in admin_keys.places(domain, in_force["DKSIGN"]):
        if admin_keys.is_there(place.path):
            findings += place_findings(place, lookup)
            signs = True
        if os.path.lexists(place.path + NEXT):
            findings += next_findings(place, lookup)
            waits = True
        if os.path.lexists(place.path + FORMER):
            findings += former_findings(place, in_force, lookup)
    if signs:
        return findings
    for parent in address.with_parents(domain.encode())[1:]:
        if any(admin_keys.is_there(place.path)
               for place in admin_keys.places(parent.decode(), in_force["DKSIGN"])):
            findings.append(Finding(OK, domain, "has no key that signs, so that of "
                                    f"{parent.decode()} does"))
            return findings + domain_findings(parent.decode(), in_force, lookup)
    if waits:
        findings.append(Finding(FAIL, domain, "its key does not sign yet, so its mail is not "
                                "signed", "see the line above"))
    else:
        findings.append(Finding(FAIL, domain, f"has no key by DKSIGN ({in_force['DKSIGN']}), so "
                                "its mail is not signed", f"qmail-dk keygen {domain}"))
    return findings


def no_domain(in_force):
    """The Finding where no domain has a key of its own."""
    if not all("%" in pattern for pattern in in_force["DKSIGN"].split(":") if pattern):
        return Finding(WARN, "keys", "DKSIGN names a key for all domains, so none was checked",
                       "qmail-dk check DOMAIN")
    return Finding(FAIL, "keys", f"no domain has a key by DKSIGN ({in_force['DKSIGN']}), so no "
                   "mail is signed", "qmail-dk keygen DOMAIN")


def resolver_findings(lookup, in_force):
    """Whether the DNS answers at all.  What the name has does not matter."""
    subject = "resolver " + (in_force["DNSCACHEIP"] or "(/etc/resolv.conf)")
    answer = lookup(PROBE)
    if answer.status == "temporary":
        return [Finding(FAIL, subject, f"gives no answer: {answer.reason}",
                        "see that it runs, and that DNSCACHEIP or /etc/resolv.conf names it")]
    return [Finding(OK, subject, "answers")]


def place_findings(place, lookup):
    """The Findings on the key that signs."""
    key, findings = read_key(place, "", "mail is deferred until the file is a readable private key")
    if key is None or lookup is None:
        return findings
    return findings + (misnamed_findings(place, key, lookup) or record_findings(key, lookup))


def next_findings(place, lookup):
    """The Findings on the key that is to sign next: that its record is missing does no harm."""
    path = place.path + NEXT
    key, findings = read_key(place, NEXT, f"rm {path}")
    if key is None:
        return findings
    activate = admin_keys.rotate_command(key, "--activate")
    if lookup is None:
        return findings + [Finding(WARN, path, "does not sign yet", activate)]
    missing = failures(record_findings(key, lookup))
    if missing:
        return findings + [Finding(WARN, fault.subject, f"{fault.text}; {path} waits for it",
                                   f"{fault.remedy}, then {activate}") for fault in missing]
    return findings + [Finding(WARN, path, "does not sign yet, but its record is in the DNS",
                               activate)]


def former_findings(place, in_force, lookup):
    """The Findings on the key that has signed: mail that is under way needs its record."""
    path = place.path + FORMER
    key, findings = read_key(place, FORMER, f"rm {path}")
    if key is None:
        return findings
    until = (admin_rotate.former_key(place).replaced
             + admin_rotate.queue_lifetime(in_force.control))
    if until < time.time():
        return [Finding(WARN, path, f"has not been needed since {admin_rotate.date(until)}",
                        f"do what {admin_keys.rotate_command(key, '--retire')} says")]
    return findings + (record_findings(key, lookup) if lookup else [])


def read_key(place, suffix, remedy):
    """-> (keys.SigningKey, or None if there is none; the Findings on its file).

    suffix: of Place.key(); remedy: where it is no key
    """
    path = place.path + suffix
    findings = reading_findings(path)
    try:
        key = place.key(suffix)
    except KeyTrouble as trouble:
        if isinstance(trouble.__cause__, PermissionError) and os.geteuid() != 0:
            return None, findings       # it need not be readable to whoever asks
        return None, findings + [Finding(FAIL, path, str(trouble), remedy)]
    if key is None:
        if suffix:
            return None, [Finding(WARN, path, "is a link to nothing", f"rm {path}")]
        return None, findings + [Finding(FAIL, path, "is a link to nothing, so nothing is signed",
                                         f"rm {path}; qmail-dk keygen {place.domain}")]
    return key, findings + permission_findings(os.fsdecode(key.path)) + size_findings(key)


def reading_findings(path):
    """Whether the signer can read a file."""
    account = admin_account.signers_account()
    if os.geteuid() not in (0, account and account.user):
        return [Finding(WARN, path, "only root can see whether qmailr can read it",
                        "run this as root")]
    if account is None:
        return [Finding(WARN, path, f"{QMAIL}/queue/lock/tcpto, by which qmailr is known, is not "
                        "there, so whether qmailr can read this is not known", "install qmail")]
    try:
        with admin_account.eyes_of(account):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return [Finding(FAIL, path, f"{account.name} can't open it: {error.strerror}",
                        "chgrp qmail and chmod g+r the key, chgrp qmail and chmod g+x "
                        f"{os.path.dirname(path)}; all directories above need x for others")]
    return [Finding(OK, path, f"{account.name} can read it")]


def permission_findings(path):
    """Who else can read or replace a key file, which may be a link, or in a linked directory."""
    file = os.path.realpath(path)
    state = os.stat(file)
    findings = writing_findings(file, state)
    if state.st_mode & stat.S_IROTH:
        findings.append(Finding(WARN, file, "others can read it", f"chmod o= {file}"))
    findings += owner_findings(file, state)
    own = [os.path.realpath(os.path.dirname(name)) for name in (path, file)]
    for directory in directories_on_the_way(path):
        state = os.stat(directory)
        if directory in own:
            findings += writing_findings(directory, state)
        elif not state.st_mode & stat.S_ISVTX:
            findings += replacing_findings(directory, state)
        findings += owner_findings(directory, state)
    return findings or [Finding(OK, path, "nobody else can read or change it")]


def directories_on_the_way(path):
    """The directories that are gone through to open a file that is there, links followed."""
    found = []
    here, left = "/", os.path.abspath(path).split("/")[::-1]
    while left:
        name = left.pop()
        if name == "..":
            here = os.path.dirname(here)
        elif name not in ("", "."):
            found.append(here)
            place = os.path.join(here, name)
            if not os.path.islink(place):
                here = place
                continue
            target = os.readlink(place)
            here = "/" if target.startswith("/") else here
            left += target.split("/")[::-1]
    return list(dict.fromkeys(found))


def writing_findings(name, state):
    """Whether others can write to a key, or to the directory that it is in."""
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [Finding(FAIL, name, "others than its owner can change it", f"chmod go-w {name}")]
    return []


def replacing_findings(directory, state):
    """Whether others can put another directory in the place of one above a key."""
    if state.st_mode & stat.S_IWOTH:
        return [Finding(FAIL, directory, "others can put other keys there",
                        f"chmod o-w {directory}")]
    if state.st_mode & stat.S_IWGRP and state.st_gid != 0:
        return [Finding(WARN, directory, f"group number {state.st_gid} can put other keys there",
                        f"chmod g-w {directory}")]
    return []


def owner_findings(name, state):
    """Whether a key, or a directory above it, is somebody else's than root's."""
    if state.st_uid != 0:
        return [Finding(WARN, name, f"belongs to user number {state.st_uid}, who can change it",
                        f"chown root {name}")]
    return []


def size_findings(key):
    """Whether verifiers take a key of this size (RFC 8301 section 3.2)."""
    subject, bits = os.fsdecode(key.path), key.private_key.bits
    remedy = f"qmail-dk rotate {key.domain.decode()}"
    if key.private_key.algorithm != "rsa":
        return [Finding(OK, subject, "Ed25519; an RSA key must sign beside it")]
    if bits < crypto.RSA_LEAST:
        return [Finding(FAIL, subject, f"RSA of {bits} bits is too small for DKIM", remedy)]
    if bits < ADVISED_BITS or bits > admin_keys.RSA_BITS[1]:
        return [Finding(WARN, subject, f"RSA of {bits} bits: advised are {ADVISED_BITS}, and some "
                        f"verifiers take no more than {admin_keys.RSA_BITS[1]}", remedy)]
    return [Finding(OK, subject, f"RSA of {bits} bits")]


def record_findings(key, lookup):
    """The record in the DNS, held against the key (keys.SigningKey)."""
    name = admin_records.key_name(key.selector.decode(), key.domain.decode())
    publish = f"publish what qmail-dk dns {key.domain.decode()} prints"
    answer = lookup(name.encode())
    if answer.status == "temporary":
        return [Finding(FAIL, name, f"the DNS can't be asked: {answer.reason}",
                        "see that the resolver works (DNSCACHEIP, else /etc/resolv.conf)")]
    if answer.status == "none":
        return [Finding(FAIL, name, f"is not in the DNS: {answer.reason}",
                        f"{publish} (resolvers remember for a while that it was not there)")]
    found, findings = parsed(answer.texts, name)
    if len(found) != 1:
        text = f"{len(found)} key records: verifiers take any of them" if found else "no key record"
        findings.append(Finding(FAIL, name, text, publish + " and nothing else"))
    for record in found:
        findings += [Finding(level, name, text, publish)
                     for level, text in record_faults(record, key.private_key)]
    return findings or [Finding(OK, name, "the record is that of the key")]


def misnamed_findings(place, key, lookup):
    """The Finding where the record of a key is not at its own name but at another.

    Older tools have the selector elsewhere, or take a link's own name for it.
    """
    domain = key.domain.decode()
    name = admin_records.key_name(key.selector.decode(), domain)
    if lookup(name.encode()).status != "none":
        return []
    for selector in other_selectors(place, key):
        other = admin_records.key_name(selector, domain)
        answer = lookup(other.encode())
        if answer.status == "found" and any(
                record.public_key == key.private_key.public_key()
                for record in parsed(answer.texts, other)[0]):
            return [Finding(FAIL, name, f"is not in the DNS, but {other} has this key",
                            rename_command(place, key, selector))]
    return []


def other_selectors(place, key):
    """The selectors that a key may have had by an older tool; str."""
    prefix = "rsa.private_"         # of its file, by a script called domainkey
    own = key.selector.decode()
    directory = os.path.dirname(os.fsdecode(key.path))
    for selector in (place.name, own[len(prefix):] if own.startswith(prefix) else "",
                     written_selector(directory)):
        with contextlib.suppress(RequestTrouble):
            if admin_keys.checked_selector(selector) != own:
                yield selector


def written_selector(directory):
    """What a file selector beside the keys says, "" where there is none; str."""
    with contextlib.suppress(SettingTrouble):
        return settings.first_line(os.path.join(directory, "selector")) or ""
    return ""


def rename_command(place, key, selector):
    """The commands that give a key a name that makes another selector of it."""
    file = os.path.basename(os.fsdecode(key.path))
    command = (f"cd {os.path.dirname(os.fsdecode(key.path))} && "
               f"ln {file} {selector}.new && mv -f {selector}.new {selector}")
    if selector != place.name:
        command += f" && ln -s {selector} {place.name}.new && mv -f {place.name}.new {place.name}"
    return command


def parsed(texts, name):
    """-> (key_record.KeyRecords among the texts, Findings on the others)."""
    from . import key_record        # only now: it needs the packages
    from .dkimpy import Malformed
    found, findings = [], []
    for text in texts:
        try:
            found.append(key_record.parse(text))
        except Malformed as malformed:
            # Some verifiers read only the first record, or all as one.
            level = FAIL if b"p=" in text else WARN
            shown = text[:60].decode("ascii", "backslashreplace")
            findings.append(Finding(level, name, f"a TXT record there is no key record "
                                    f"({malformed}): {shown!r}", "withdraw it"))
    return found, findings


def record_faults(record, private_key):
    """What is wrong with a record for a crypto.PrivateKey: list of (level, text)."""
    hashes = record.hashes
    faults = (
        (record.revoked, FAIL, "p= is empty: the key is revoked"),
        (not record.revoked and record.public_key != private_key.public_key(), FAIL,
         "p= is not the public half of this private key"),
        (record.key_type != private_key.algorithm.encode(), FAIL,
         f"k= is not {private_key.algorithm}"),
        (record.version not in (None, b"DKIM1"), FAIL, "v= is not DKIM1, or not the first tag"),
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
