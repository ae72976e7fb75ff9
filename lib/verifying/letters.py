# SPDX-License-Identifier: MIT
"""The letters of DKVERIFY, one for each kind of result, as libdomainkeys numbered them."""

# Letter, word of the DomainKey-Status field (as qmail-dk writes it), reason of a refusal.
# Of several signatures, the letter that comes first here decides: a pass, then the results
# that could still become one, then the permanent failures.
TABLE = (
    ("A", "good", "it has a good signature"),
    ("F", "no key", "the public key of its signature could not be looked up in the DNS"),
    ("H", "no resources", "there are no resources to verify its signature"),
    ("B", "bad", "its signature does not match it"),
    ("J", "revoked", "the public key of its signature has been revoked"),
    ("D", "no key", "the public key of its signature is not in the DNS"),
    ("E", "bad key", "the public key of its signature can't be used"),
    ("G", "bad format", "its signature field is malformed"),
    ("I", "bad format", "its signature field has values that can't be used"),
    ("K", "bad format", "its signature could not be verified"),
    ("C", "no signature", "it has no signature"),
)

PRECEDENCE = [letter for letter, _, _ in TABLE]
STATUS_WORDS = {letter: word for letter, word, _ in TABLE}
REASONS = {letter: reason for letter, _, reason in TABLE}
