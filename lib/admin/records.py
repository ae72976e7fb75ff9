# SPDX-License-Identifier: MIT
"""Formats the DNS records of a key as zone data for BIND and for tinydns."""

import binascii

TTL = 3600              # seconds: short, so that a mistake is soon over
LONGEST_STRING = 255    # bytes of one string in a TXT record (RFC 1035 section 3.3)

# RFC 4870 section 3.6: o=~ some of the domain's mail is signed, o=- all is.
POLICY = "o=~"


def key_name(selector, domain):
    """Returns the name of a key's record (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def name_of(key):
    """Returns the name of the record (str) of a key_files.SigningKey."""
    return key_name(key.selector.decode(), key.domain.decode())


def policy_name(domain):
    """Returns the name of a DomainKeys policy record (RFC 4870 section 3.6)."""
    return f"_domainkey.{domain}"


def key_text(private_key, test=False):
    """Returns the key record (RFC 6376 section 3.6.1) of a crypto.PrivateKey, str.

    DomainKeys uses the same record: its verifiers ignore v=, but would refuse an h=
    without sha1.  test: whether to add t=y
    """
    public = binascii.b2a_base64(private_key.public_key(), newline=False).decode()
    flags = " t=y;" if test else ""
    return f"v=DKIM1; k={private_key.algorithm};{flags} p={public}"


def bind(name, text, ttl=TTL):
    """Returns a TXT record for a zone file (RFC 1035 section 5.1), each string on its own line."""
    data = text.encode("latin-1")
    strings = [quoted(data[start:start + LONGEST_STRING])
               for start in range(0, len(data), LONGEST_STRING)] or ['""']
    if len(strings) == 1:
        return f"{name}. {ttl} IN TXT {strings[0]}"
    return f"{name}. {ttl} IN TXT ( " + "\n    ".join(strings) + " )"


def quoted(data):
    """Returns bytes as a quoted string of a zone file, odd bytes as \\DDD, decimal."""
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}"
                         for byte in data) + '"'


def tinydns(name, text, ttl=TTL):
    """Returns a TXT record for tinydns-data, odd bytes as \\ooo, octal.

    tinydns-data splits the text on its own.
    """
    escaped = "".join(chr(byte) if 32 <= byte < 127 and byte not in b":\\" else f"\\{byte:03o}"
                      for byte in text.encode("latin-1"))
    return f"'{name}:{escaped}:{ttl}"


# form -> (name to print, start of a comment, function that writes a record)
FORMS = {"bind": ("BIND", ";", bind), "tinydns": ("tinydns", "#", tinydns)}


def comment(text, forms):
    """Returns a line to print above zone_data(); name servers ignore it."""
    return f"{FORMS[forms[0]][1]} {text}"


def zone_data(records, forms=tuple(FORMS)):
    """Returns records in each of the forms, with comments, as one str.

    A name server can load the data of one form alone.
    records: list of (comment, name, text)
    """
    lines = []
    for form in forms:
        title, mark, written = FORMS[form]
        if len(forms) > 1:
            lines += ["", f"{mark} {title}"] if lines else [f"{mark} {title}"]
        for remark, name, text in records:
            lines += [f"{mark} {remark}", written(name, text)]
    return "\n".join(lines)
