# SPDX-License-Identifier: MIT
"""The terms for verifying a message, and the report of the result."""


class Terms:
    """The terms that an administrator can set.

    least_rsa_bits: shorter RSA keys do not pass (RFC 8301 section 3.2)
    dkpolicy: whether to look up the sending domain's policy for unsigned mail
    authserv_id: the name in Authentication-Results (RFC 8601 section 2.5), bytes
    dmarc: whether to evaluate SPF and DMARC; client: client.Client for SPF, None if unknown
    """

    __slots__ = ("least_rsa_bits", "dkpolicy", "authserv_id", "dmarc", "client")

    def __init__(self, least_rsa_bits: int, dkpolicy: bool = False,
                 authserv_id: bytes = b"localhost", dmarc: bool = False, client=None):
        self.least_rsa_bits = least_rsa_bits
        self.dkpolicy = dkpolicy
        self.authserv_id = authserv_id
        self.dmarc = dmarc
        self.client = client


class Report:
    """The verdict on a verified message, and the changes to make in it.

    letter: of DKVERIFY, the verdict
    words: for the log (str); domains: of the signatures, each once (list of str)
    fields: header fields for the top of the message (bytes, LF line ends)
    removed: indexes of its header fields to leave out; empty if the header was too long
    to read at once, because annotation then reads it again in parts
    rejecting: the domain whose DMARC policy is to reject the message, "" if there is none
    """

    __slots__ = ("letter", "words", "domains", "fields", "removed", "rejecting")

    def __init__(self, letter: str, words: str, domains: "list[str]", fields: bytes,
                 removed: "set[int] | frozenset[int]", rejecting: str = ""):
        self.letter = letter
        self.words = words
        self.domains = domains
        self.fields = fields
        self.removed = removed
        self.rejecting = rejecting
