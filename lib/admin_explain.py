# SPDX-License-Identifier: MIT
"""Says how the signer would treat a message, and signs one for trying."""

import os

from . import address, admin_keys, message, outbound
from .errors import CryptoTrouble, KeyTrouble, SettingTrouble
from .settings import PROTOCOLS

# The settings that decide what is signed, and how.
DECISIVE = ("DKSIGN", "DKPROTOCOLS", "DKIMCANON", "DKIMHEADERS", "DKIMIDENTITY", "DKIMEXPIRE",
            "DKONERROR", "DKFORWARDED")

# Arguments of a delivery that does not take place.
HOST, RECIPIENT = "mx.invalid", "nobody@mx.invalid"


def header_of(domain):
    """message.Header as of any mail whose author is at the domain (str)."""
    return message.parse_header(f"From: postmaster@{domain}\n".encode(), True)


def why(header, has_cr, envelope_sender, in_force):
    """How the signer treats a message -> (lines, whether it signs).

    header: message.Header; has_cr: whether the message has a CR
    envelope_sender: bytes; in_force: settings.Settings
    Raises SettingTrouble where a setting can't be read.
    """
    candidates = {"dkim": outbound.dkim_candidates(header, envelope_sender),
                  "domainkeys": outbound.domainkeys_candidates(header)}
    lines = origins(header, envelope_sender)
    for domain in dict.fromkeys(candidates["dkim"] + candidates["domainkeys"]):
        lines += trail(domain.decode(), in_force)
    verdicts = []
    try:
        plan = outbound.choose(header, envelope_sender, lambda: has_cr, in_force)
        if plan.withheld:
            verdicts.append(f"not signed as {plan.withheld.decode()}: the message came from "
                            "outside without a good DKIM signature of that domain (DKFORWARDED)")
        loaded = dict(zip(PROTOCOLS, outbound.load_keys(plan)))
        protocols = in_force.words("DKPROTOCOLS", PROTOCOLS)
        for protocol in PROTOCOLS:
            verdicts.append(verdict(protocol, protocol in protocols, candidates[protocol],
                                    loaded[protocol]))
        if any(loaded.values()):
            check_terms(in_force, loaded["dkim"])
    except (KeyTrouble, CryptoTrouble, SettingTrouble) as trouble:
        treatment = "is sent unsigned" if in_force.unsigned_on_error() else "is deferred"
        return lines + [f"the message {treatment}: {trouble}"] + settings_lines(in_force), False
    flaw = header.flaw or address.author_flaw(header)
    signs = any(loaded.values()) and not flaw
    if flaw and any(loaded.values()):
        verdicts = [f"not signed, though there is a key: {flaw}, so verifiers would not agree"]
    return lines + verdicts + settings_lines(in_force), signs


def check_terms(in_force, of_dkim):
    """Raises SettingTrouble where a setting that signatures need makes no sense.

    of_dkim: whether there are DKIM signatures
    """
    in_force.canonicalization()
    if of_dkim:
        in_force.seconds("DKIMEXPIRE")
        outbound.header_list(in_force["DKIMHEADERS"])
        outbound.identity(in_force)


def origins(header, envelope_sender):
    """Which domains the message gives."""
    _, at, envelope_domain = envelope_sender.rpartition(b"@")
    author = shown(address.author_domain(header))
    sending = shown(address.sending_domain(header))
    return [f"author's domain, of the one address in the one From: field: {author}",
            f"domain of the envelope sender: {shown(envelope_domain if at else None)}",
            f"domain of the sending address, in Sender:, else in From: {sending}"]


def shown(domain):
    """A domain (bytes or None) in an explanation."""
    if not domain:
        return "none"
    text = domain.decode("ascii", "backslashreplace")
    return text if address.is_domain(domain.lower()) else f"{text!r}, which can't have a key"


def trail(domain, in_force):
    """A line for each place where the signer looks for keys of a domain (str)."""
    lines = []
    for place in admin_keys.places(domain, in_force["DKSIGN"]):
        try:
            key = place.key()
        except KeyTrouble as trouble:
            lines.append(f"  {domain}: {trouble}")
            continue
        if key is None and os.path.lexists(place.path + admin_keys.NEXT):
            lines.append(f"  {domain}: no key that signs yet: {place.path}{admin_keys.NEXT} waits "
                         f"for qmail-dk rotate {domain} --activate")
        elif key is None:
            lines.append(f"  {domain}: no key, for there is no {place.path}")
        else:
            lines.append(f"  {domain}: selector {key.selector.decode()}, "
                         f"{key.private_key.algorithm} of {key.private_key.bits} bits, "
                         f"{os.fsdecode(key.path)}")
    return lines


def verdict(protocol, wanted, candidates, loaded):
    """What one protocol makes of it.  loaded: list of keys.SigningKey"""
    if not wanted:
        return f"{protocol}: not signed: DKPROTOCOLS leaves it out"
    if not candidates:
        return f"{protocol}: not signed: the message gives no domain that could sign"
    if not loaded:
        return (f"{protocol}: not signed: no usable key for "
                + ", ".join(map(os.fsdecode, candidates)))
    return f"{protocol}: signed by " + ", ".join(outbound.signer(protocol, key) for key in loaded)


def settings_lines(in_force):
    """The settings that matter here, each with its source."""
    return ["settings:"] + ["  {}={} ({})".format(name, *in_force.lookup(name))
                            for name in DECISIVE]


def sign(fd, envelope_sender, in_force):
    """A descriptor of the signed message, at its start; fd itself if it is not signed.

    fd: regular file; envelope_sender: str.  Raises Trouble, OSError.
    """
    return outbound.prepare(fd, [HOST, envelope_sender, RECIPIENT], in_force)
