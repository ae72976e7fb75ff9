# SPDX-License-Identifier: MIT
"""Signs messages in tests, with keys in a DKSIGN tree, a fixed clock and no log."""

import base64
import os
from unittest import mock

from cryptography.hazmat.primitives import serialization

from lib import maillog
from lib.settings import Settings
from lib.signing import outbound

NOW = 1700000000    # seconds since 1970, in the past: verifiers reject a future t=
KEYS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "keys")

# The default signers of a test: (domain, selector, key file) each.
EXAMPLE = (("example.com", "s2026a", "rsa.pem"),)
EXAMPLE_BOTH = EXAMPLE + (("example.com", "ed2026a", "ed25519.pem"),)


def key(name):
    """Returns the bytes of a test key: "rsa.pem" or "ed25519.pem"."""
    with open(os.path.join(KEYS, name), "rb") as file:
        return file.read()


def record(pem):
    """Returns the DNS key record (str) of a private key in PEM (bytes)."""
    public = serialization.load_pem_private_key(pem, None).public_key()
    if hasattr(public, "key_size"):
        data = public.public_bytes(serialization.Encoding.DER,
                                   serialization.PublicFormat.SubjectPublicKeyInfo)
        return "k=rsa; p=" + base64.b64encode(data).decode()
    data = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "v=DKIM1; k=ed25519; p=" + base64.b64encode(data).decode()


class Signer:
    """Runs lib.signing.outbound with a directory of keys and given settings.

    directory: str or path, empty
    keys: (domain, selector, file of KEYS) each
    settings: in addition to DKSIGN, as in the environment
    records: {name: text} of the keys' DNS records; log: lines of the last sign()
    """

    def __init__(self, directory, keys=EXAMPLE, **settings):
        self.directory = str(directory)
        self.records = {}
        self.log = []
        patterns = []
        for domain, selector, name in keys:
            self.add_key(domain, selector, key(name))
            if selector not in patterns:
                patterns.append(selector)
        self.environment = {
            "DKSIGN": ":".join(f"{self.directory}/%/{selector}" for selector in patterns),
            **settings}

    def add_key(self, domain, selector, pem):
        """Writes a key file, mode 0640, and adds its record."""
        os.makedirs(f"{self.directory}/{domain}", exist_ok=True)
        path = f"{self.directory}/{domain}/{selector}"
        with open(path, "wb") as file:
            file.write(pem)
        os.chmod(path, 0o640)
        self.records[f"{selector}._domainkey.{domain}"] = record(pem)

    def sign(self, message, sender="alice@example.com", now=NOW):
        """Signs a message (bytes, as in the queue).  Returns what is passed on, bytes.

        Asserts that the queue file does not change, and that the descriptor that is
        passed on is at its start.
        """
        self.log = []
        path = f"{self.directory}/queue-file"
        with open(path, "wb") as file:
            file.write(message)
        settings = Settings(self.environment, control=f"{self.directory}/no-control")
        fd = os.open(path, os.O_RDONLY)
        handed_on = -1
        try:
            with mock.patch.object(maillog, "write", lambda _, text: self.log.append(text)):
                handed_on = outbound.prepare(
                    fd, ["mx.example.net", sender, "bob@example.net"], settings,
                    clock=lambda: now)
            with open(handed_on, "rb", closefd=False) as file:
                result = file.read()
        finally:
            for opened in {fd, handed_on} - {-1}:
                os.close(opened)
        with open(path, "rb") as file:
            assert file.read() == message, "the queue file was written to"
        return result


def fields(message):
    """Returns the header fields of well-formed LF text, list of (name, bytes with folds)."""
    found = []
    for line in message.partition(b"\n\n")[0].split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            found[-1] = (found[-1][0], found[-1][1] + b"\n" + line)
        else:
            found.append((line.partition(b":")[0].decode("latin-1"), line))
    return found


def tags(field):
    """Returns the tags of a signature field, {str: str}, without blanks."""
    value = "".join(field.partition(b":")[2].decode("latin-1").split())
    return dict(tag.partition("=")[::2] for tag in value.split(";") if tag)
