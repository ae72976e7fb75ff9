# SPDX-License-Identifier: MIT
"""Explains how the signer would treat a message."""

import contextlib
import os
import time

from .. import crypto
from ..errors import CryptoTrouble, KeyTrouble, SettingTrouble
from ..mail import address, message
from ..settings import PROTOCOLS, Settings
from ..signing import clients, outbound, plan
from . import key_places

# Settings that decide which mail is signed, and how.
DECISIVE = ("DKSIGN", "DKPROTOCOLS", "DKIMCANON", "DKIMHEADERS", "DKIMIDENTITY", "DKIMEXPIRE",
            "DKONERROR", "DKFORWARDED", "DKMAY")


def header_of(domain):
    """Returns the message.Header of mail whose only author is at the domain (str)."""
    return message.parse_header(f"From: postmaster@{domain}\n".encode(), True)


def load():
    """Loads what signing loads late, since why() may run as qmailr, who may lack access."""
    from ..mail import author       # noqa: F401
    from ..signing import dkim, domainkeys, forwarded, relayed      # noqa: F401
    crypto.hash_functions(False)
    with contextlib.suppress(CryptoTrouble):
        crypto.backend()


def why(header, body, has_cr, envelope_sender, settings):
    """Returns (lines on how the signer treats a message, list of str; whether it signs).

    header: message.Header; body: chunks of LF text, or None if only a domain is given
    has_cr: whether the message has a CR
    envelope_sender: bytes; settings: settings.Settings
    The message is signed as for a delivery, so the lines are true of one.
    Raises SettingTrouble if a setting can't be read.
    """
    author_domain, _ = plan.author_of(header)
    lines = origins(author_domain, header, envelope_sender)
    try:
        candidates = plan.candidates(author_domain, header, envelope_sender)
        for domain in dict.fromkeys(candidates["dkim"] + candidates["domainkeys"]):
            lines += trail(domain.decode(), settings)
        outcome = outbound.decide(
            header, iter(()) if body is None else body, envelope_sender, lambda: has_cr,
            anybodys(settings) if body is None else settings, int(time.time()), False)
        said = verdicts(outcome, header, body, settings)
    except (KeyTrouble, CryptoTrouble, SettingTrouble) as trouble:
        return [*lines, treatment(trouble, settings), *settings_lines(settings)], False
    return [*lines, *said, *settings_lines(settings)], bool(outcome.signatures)


def treatment(trouble, settings):
    """Returns the line on a message that is deferred or sent unsigned because of a Trouble."""
    try:
        unsigned = settings.unsigned_on_error()
    except SettingTrouble as worse:
        return f"the message is deferred: {worse}"
    return f"the message is {'sent unsigned' if unsigned else 'deferred'}: {trouble}"


def verdicts(outcome, header, body, settings):
    """Returns the lines on an outbound.Outcome.  Other arguments: as in why()"""
    flaw = outcome.plan.flaw
    if flaw and outcome.plan.has_keys():
        return [f"not signed, though there is a key: {flaw}, so verifiers would not agree"]
    warnings = [*outcome.on_keys, *outcome.too_much()]
    lines = [text for _, text in outcome.choice] + client_lines(header, body, settings)
    lines += ["warning: " + text for _, text in warnings]
    lines += [verdict(protocol, outcome) for protocol in PROTOCOLS]
    if outcome.signatures and body is not None:
        lines += ["warning: " + text for _, text in outcome.on_way]
    return lines


def anybodys(settings):
    """Returns the Settings without DKMAY, since lines on a domain concern no client."""
    return Settings({**settings.environment, "DKMAY": ""}, settings.control)


def client_lines(header, body, settings):
    """Returns a list with the line on the client that sent the message, [] without DKMAY."""
    if settings.lines("DKMAY") is None:
        return []
    if body is None:
        return ["by DKMAY, who hands a message to qmail decides whether that domain may sign it"]
    return [f"handed to qmail by: {clients.client(header.fields) or clients.NOBODY}"]


def origins(author_domain, header, envelope_sender):
    """Returns the lines on the domains in a message.  author_domain: of plan.author_of()"""
    _, at, envelope_domain = envelope_sender.rpartition(b"@")
    of_author = shown(author_domain)
    sending = shown(address.sending_domain(header))
    return [f"author's domain, of the one address in the one From: field: {of_author}",
            f"domain of the envelope sender: {shown(envelope_domain if at else None)}",
            f"domain of the sending address, in Sender:, else in From: {sending}"]


def shown(domain):
    """Returns a domain (bytes or None) as text for a line."""
    if not domain:
        return "none"
    text = domain.decode("ascii", "backslashreplace")
    return text if address.is_domain(domain.lower()) else f"{text!r}, which can't have a key"


def trail(domain, settings):
    """Returns a line for each place where the signer looks for keys of a domain (str)."""
    lines = []
    for place in key_places.places(domain, settings.key_patterns()):
        try:
            key = place.key()
        except KeyTrouble as trouble:
            lines.append(f"  {domain}: {trouble}")
            continue
        if key is None and os.path.lexists(place.path + key_places.NEXT):
            lines.append(f"  {domain}: no key that signs yet: {place.path}{key_places.NEXT} waits "
                         f"for qmail-dk rotate {domain} --activate")
        elif key is None:
            though = f", though there is {place.directory}" if place.lacks_key else ""
            lines.append(f"  {domain}: no key: there is no {place.path}{though}")
        else:
            lines.append(f"  {domain}: selector {key.selector.decode()}, "
                         f"{key.private_key.algorithm} of {key.private_key.bits} bits, "
                         f"{os.fsdecode(key.path)}")
    return lines


def verdict(protocol, outcome):
    """Returns the line on one protocol of an outbound.Outcome."""
    candidates = outcome.plan.candidates[protocol]
    if protocol not in outcome.plan.protocols:
        return f"{protocol}: not signed: DKPROTOCOLS leaves it out"
    if not candidates:
        return f"{protocol}: not signed: the message gives no domain that could sign"
    signers = signers_of(protocol, outcome.signatures)
    if signers:
        return f"{protocol}: signed by " + ", ".join(signers)
    if signers_of(protocol, outcome.left_out):
        return f"{protocol}: not signed: the header has too much to sign"
    if protocol == "domainkeys" and outcome.plan.dkim2:
        return f"{protocol}: not signed: it would break the DKIM2 signature of the message"
    return (f"{protocol}: not signed: no usable key for "
            + ", ".join(map(os.fsdecode, candidates)))


def signers_of(protocol, signatures):
    """Returns outbound.signer() of each signature by a protocol.  signatures: as in Outcome"""
    return [outbound.signer(protocol, key) for name, key, _ in signatures if name == protocol]


def settings_lines(settings):
    """Returns a title and the lines on the DECISIVE settings, each with its source."""
    return ["settings:"] + ["  {}={} ({})".format(name, *settings.lookup(name))
                            for name in DECISIVE]
