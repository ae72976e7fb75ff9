# SPDX-License-Identifier: MIT
"""Hashes a body for all signatures of a message in one pass."""

from ..mail.canonicalization import BODY, DOMAINKEYS_BODY


class Canonical:
    """One canonical form of the body, and the hashes that take it.

    length: bytes of the form so far
    shares: list of [hash object, bytes of the form that it still takes; None: all]
    """

    def __init__(self):
        self.length = 0
        self.shares = []

    def update(self, piece):
        """Takes the next piece of the form (bytes)."""
        self.length += len(piece)
        for share in self.shares:
            hashed, wanted = share
            if wanted is None:
                hashed.update(piece)
            elif wanted:
                hashed.update(piece[:wanted])
                share[1] = max(wanted - len(piece), 0)


class BodyHashes:
    """The hashes of a body.  separator: whether an empty line precedes it"""

    def __init__(self, separator):
        self.separator = separator
        self.forms = {}     # name of the canonicalization: (Canonical, canonicalization.Body)

    def add(self, canonicalization, hashed, length):
        """Adds a hash of the first length bytes (None: all) of a canonical form.

        canonicalization: "relaxed" or "simple", with "domainkeys " before "simple" or
        "nofws" for DomainKeys; hashed: hash object.  Returns the Canonical.
        """
        if canonicalization not in self.forms:
            form = Canonical()
            protocol, _, name = canonicalization.rpartition(" ")
            maker = (DOMAINKEYS_BODY[name](form.update, self.separator) if protocol
                     else BODY[name](form.update))
            self.forms[canonicalization] = form, maker
        form = self.forms[canonicalization][0]
        form.shares.append([hashed, length])
        return form

    def feed(self, chunk):
        """Takes the next chunk of the body (bytes, LF line ends)."""
        for _, maker in self.forms.values():
            maker.feed(chunk)

    def finish(self):
        for _, maker in self.forms.values():
            maker.finish()
