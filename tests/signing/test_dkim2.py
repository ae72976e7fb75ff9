# SPDX-License-Identifier: MIT
"""Mail with DKIM2's fields gets no DomainKey-Signature, which would break its signature."""

import pytest

from tests.support.signing import Signer, fields

MESSAGE = b"From: alice@example.com\nTo: bob@example.net\nDate: x\n%b\nx\n"
BOTH = ["DKIM-Signature", "DomainKey-Signature"]
SAID = "no DomainKeys signature, which would break the DKIM2 signature"

# DKPROTOCOLS, a field of the message -> signatures, the start of the line about DKIM2 or None
CASES = [
    ("dkim domainkeys", b"DKIM2-Signature: x\n", BOTH[:1], SAID),
    ("dkim domainkeys", b"message-instance: x\n", BOTH[:1], SAID),
    ("domainkeys", b"DKIM2-Signature: x\n", [], "warning: " + SAID),    # sent unsigned
    ("dkim", b"DKIM2-Signature: x\n", BOTH[:1], None),
    ("dkim domainkeys", b"X-DKIM2-Signature: x\n", BOTH, None),
]


@pytest.mark.parametrize("protocols, field, names, said", CASES)
def test_signatures(tmp_path, protocols, field, names, said):
    signer = Signer(tmp_path, DKPROTOCOLS=protocols)
    signed = signer.sign(MESSAGE % field)
    assert [name for name, _ in fields(signed) if name in BOTH] == names
    assert signed.endswith(MESSAGE % field)
    lines = [line for line in signer.log if "DKIM2" in line]
    assert len(lines) == bool(said) and all(line.startswith(said) for line in lines)
