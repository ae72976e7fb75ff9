# SPDX-License-Identifier: MIT
"""The DNS records of a key, as zone data for BIND and for tinydns."""

import binascii

TTL = 3600              # seconds: a mistake in a record is soon over
LONGEST_STRING = 255    # bytes of one string in a TXT record (RFC 1035 section 3.3)

# RFC 4870 section 3.6: o=~ some of the domain's mail is signed, o=- all is.
POLICY = "o=~"


def key_name(selector, domain):
    """Where verifiers look for a key (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def policy_name(domain):
    """Where DomainKeys' policy stands (RFC 4870 section 3.6)."""
    return f"_domainkey.{domain}"


def key_text(private_key, test=False):
    """The key record (RFC 6376 section 3.6.1) of a crypto.PrivateKey, str.

    DomainKeys reads the same record: its verifiers pass over v=, but would
    refuse an h= without sha1.  test: with t=y.
    """
    public = binascii.b2a_base64(private_key.public_key(), newline=False).decode()
    flags = " t=y;" if test else ""
    return f"v=DKIM1; k={private_key.algorithm};{flags} p={public}"


def bind(name, text):
    """A TXT record for a zone file (RFC 1035 section 5.1), on as many lines as it has strings."""
    data = text.encode("latin-1")
    strings = [quoted(data[start:start + LONGEST_STRING])
               for start in range(0, len(data), LONGEST_STRING)] or ['""']
    if len(strings) == 1:
        return f"{name}. {TTL} IN TXT {strings[0]}"
    return f"{name}. {TTL} IN TXT ( " + "\n    ".join(strings) + " )"


def quoted(data):
    """A string of a zone file: in quotes, odd bytes as \\DDD, decimal."""
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}"
                         for byte in data) + '"'


def tinydns(name, text):
    """A TXT record for tinydns-data: odd bytes as \\ooo, octal.

    tinydns-data splits the text by itself.
    """
    escaped = "".join(chr(byte) if 32 <= byte < 127 and byte not in b":\\" else f"\\{byte:03o}"
                      for byte in text.encode("latin-1"))
    return f"'{name}:{escaped}:{TTL}"


def zone_data(records):
    """Records in both forms, with comments, as one str.

    records: list of (comment, name, text)
    """
    lines = ["; BIND"]
    for comment, name, text in records:
        lines += [f"; {comment}", bind(name, text)]
    lines += ["", "# tinydns"]
    for comment, name, text in records:
        lines += [f"# {comment}", tinydns(name, text)]
    return "\n".join(lines)
