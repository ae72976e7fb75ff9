# SPDX-License-Identifier: MIT
"""Signs with any tags and any numbers, and examines with any records.

The signer is written directly from the RFCs with regular expressions, and shares
nothing with lib/.  The tests of a rule use signatures that break only this rule.
"""

import base64
import functools
import hashlib
import random
import re

from cryptography.hazmat.primitives import serialization

from lib.crypto import RSA_LEAST
from lib.mail import message
from lib.verifying import examination
from lib.lookup.answer import Answer
from lib.verifying.report import Terms
from tests.support.signing import key

NOW = 1763000000    # seconds since 1970

MESSAGE = (b"Received: from a by b\n"
           b"From: Alice <alice@example.com>\n"
           b"To: bob@example.net\n"
           b"Subject: a  folded\n\tsubject \n"
           b"\n"
           b"One line \t of text.\n"
           b" Two  lines.\t\n"
           b"\n\n")
NAME = "sel._domainkey.example.com"
DIGEST_INFO = {"sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
               "sha256": bytes.fromhex("3031300d060960864801650304020105000420")}


class RsaNumbers:
    """An RSA key given by its numbers, which may make no sense."""

    def __init__(self, modulus, public, private):
        self.modulus, self.public, self.private = modulus, public, private
        self.size = (modulus.bit_length() + 7) // 8

    def sign(self, hash_name, digest):
        info = DIGEST_INFO[hash_name] + digest
        padded = b"\x00\x01" + b"\xff" * (self.size - len(info) - 3) + b"\x00" + info
        number = pow(int.from_bytes(padded, "big"), self.private, self.modulus)
        return number.to_bytes(self.size, "big")

    def record(self, tags="v=DKIM1; k=rsa; "):
        key_sequence = der(0x30, der_integer(self.modulus) + der_integer(self.public))
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
        spki = der(0x30, algorithm + der(0x03, b"\0" + key_sequence))
        return tags + "p=" + base64.b64encode(spki).decode()


class Ed25519:
    """The golden Ed25519 key."""

    def __init__(self):
        self.key = serialization.load_pem_private_key(key("ed25519.pem"), None)

    def sign(self, hash_name, digest):
        return self.key.sign(digest)

    def record(self, tags="v=DKIM1; k=ed25519; "):
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw,
                                                 serialization.PublicFormat.Raw)
        return tags + "p=" + base64.b64encode(raw).decode()


@functools.lru_cache(maxsize=None)
def golden_rsa():
    """Returns the golden RSA key of 2048 bits, as RsaNumbers."""
    numbers = serialization.load_pem_private_key(key("rsa.pem"), None).private_numbers()
    return RsaNumbers(numbers.public_numbers.n, numbers.public_numbers.e, numbers.d)


@functools.lru_cache(maxsize=None)
def rsa_of(bits, public=65537):
    """Returns an RSA key of a size that libraries no longer make, the same each time."""
    source = random.Random(bits)
    while True:
        p, q = prime(source, bits - bits // 2), prime(source, bits // 2)
        if (p * q).bit_length() == bits and (p - 1) % public and (q - 1) % public:
            return RsaNumbers(p * q, public, pow(public, -1, (p - 1) * (q - 1)))


def prime(source, bits):
    while True:
        number = source.getrandbits(bits) | 1 | 3 << (bits - 2)
        if all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11)):
            return number


def der(tag, content):
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    octets = length.to_bytes(1 if length < 256 else 2, "big")
    return bytes([tag, 0x80 + len(octets)]) + octets + content


def der_integer(number):
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def wire(text):
    return text.replace(b"\n", b"\r\n")


def relaxed_header(field):
    name, value = wire(field).split(b":", 1)
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.lower().strip(b" \t") + b":" + value + b"\r\n"


def relaxed_body(body):
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in wire(body).split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def split_header(text):
    """Returns (list of fields with their LF, body or None)."""
    header, empty_line, body = text.partition(b"\n\n")
    fields = re.findall(rb"[^\n]+\n(?:[ \t][^\n]*\n)*", header + b"\n")
    return fields, body if empty_line else None


def dkim_signed(text=MESSAGE, key=None, hash_name="sha256", **changed):
    """Returns the message with a DKIM-Signature on top, relaxed/relaxed unless c= is simple.

    changed: tags with other values, str; None leaves a tag out
    """
    key = key or golden_rsa()
    fields, body = split_header(text)
    simple = changed.get("c") in ("simple", "simple/simple")
    canonical_body = (re.sub(rb"(\r\n)*\Z", b"\r\n", wire(body or b""), count=1) if simple
                      else relaxed_body(body or b""))
    if (changed.get("l") or "").isdigit():
        canonical_body = canonical_body[:int(changed["l"][:9])]
    tags = {"v": "1", "a": ("ed25519-" if isinstance(key, Ed25519) else "rsa-") + hash_name,
            "c": "relaxed/relaxed", "d": "example.com", "s": "sel", "h": "From:To:Subject",
            "bh": base64.b64encode(hashlib.new(hash_name, canonical_body).digest()).decode(),
            **changed}
    tags = {name: value for name, value in tags.items() if value is not None}
    given = tags.pop("b", "")
    unsigned = b"DKIM-Signature: " + "".join(
        f"{name}={value};\n\t" for name, value in tags.items()).encode("latin-1") + b"b="
    canonical = wire if simple else relaxed_header
    left = list(fields)
    hashed = b""
    for name in tags.get("h", "").lower().split(":"):
        for field in reversed(left):
            if field.split(b":")[0].strip().lower() == name.strip().encode("latin-1"):
                hashed += canonical(field)
                left.remove(field)
                break
    hashed += canonical(unsigned + b"\n")[:-2]
    signature = key.sign(hash_name, hashlib.new(hash_name, hashed).digest())
    value = given or base64.b64encode(signature).decode()
    if "b" in changed and changed["b"] is None:
        return unsigned[:-2] + b"\n" + text
    return unsigned + value.encode("latin-1") + b"\n" + text


def domainkeys_signed(text=MESSAGE, key=None, above=b"", **changed):
    """Returns the message with a DomainKey-Signature, RFC 4870; above: fields on top of it."""
    key = key or golden_rsa()
    tags = {"a": "rsa-sha1", "q": "dns", "c": "nofws", "d": "example.com", "s": "sel", **changed}
    tags = {name: value for name, value in tags.items() if value is not None}
    fields, body = split_header(text)
    listed = tags["h"].lower().replace(" ", "").encode().split(b":") if "h" in tags else None
    lines = []
    for field in fields:
        if listed is None or field.split(b":")[0].strip().lower() in listed:
            lines.append(re.sub(rb"\s", b"", field) if tags.get("c") == "nofws"
                         else wire(field)[:-2])
    for line in [b""] + (body.split(b"\n") if body is not None else []):
        lines.append(re.sub(rb"[ \t\r]", b"", line) if tags.get("c") == "nofws" else line)
    while lines and not lines[-1]:
        lines.pop()
    hashed = b"".join(line + b"\r\n" for line in lines)
    signature = base64.b64encode(key.sign("sha1", hashlib.sha1(hashed).digest())).decode()
    value = "; ".join(f"{name}={content}" for name, content in tags.items())
    if not ("b" in changed and changed["b"] is None):
        value += "; b=" + signature
    return above + b"DomainKey-Signature: " + value.encode("latin-1") + b"\n" + text


def answers(records):
    """Returns a lookup function on {name: text, list of texts (str or bytes), or Answer}."""
    def lookup(name, kind="TXT"):
        found = records.get(name.decode("ascii"))
        if found is None:
            return Answer("none", reason="NXDOMAIN")
        if isinstance(found, Answer):
            return found
        texts = found if isinstance(found, list) else [found]
        return Answer("found", [text if isinstance(text, bytes) else text.encode("latin-1")
                                   for text in texts])
    return lookup


def examine(text, records, now=NOW, chunk=131072, **terms):
    """Returns the Examination of a message (bytes, LF)."""
    header, body = message.split(text[at:at + chunk] for at in range(0, len(text), chunk))
    terms = Terms(**{"least_rsa_bits": RSA_LEAST, **terms})
    return examination.examine(header, body, terms, answers(records), now)


def only(text, record=None, **settings):
    """Returns the only SignatureResult of a message.

    record: text at NAME; None: the record of golden_rsa()
    """
    records = {NAME: golden_rsa().record() if record is None else record}
    result, = examine(text, records, **settings).results
    return result
