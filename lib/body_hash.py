# SPDX-License-Identifier: MIT
"""Hashes a body for all the signatures of a message in one pass."""

from .canonicalization import BODY, DOMAINKEYS_BODY


class Canonical:
    """One canonical form of the body, and who wants it.

    length: of the form so far, in bytes; shares: list of [hash object, bytes
    of the form that it still wants, or None for all]
    """

    def __init__(self):
        self.length = 0
        self.shares = []

    def update(self, piece):
        """Takes the next piece of the form."""
        self.length += len(piece)
        for share in self.shares:
            hashed, wanted = share
            if wanted is None:
                hashed.update(piece)
            elif wanted:
                hashed.update(piece[:wanted])
                share[1] = max(wanted - len(piece), 0)


class BodyHashes:
    """The hashes of a body; separator: whether an empty line stands before it."""

    def __init__(self, separator):
        self.separator = separator
        self.forms = {}     # name of the canonicalization: (Canonical, what makes it)

    def add(self, canonicalization, hashed, length):
        """Asks for the first length bytes (None: all) in a hash -> Canonical."""
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
        """Takes the next chunk of the body, LF line ends."""
        for _, maker in self.forms.values():
            maker.feed(chunk)

    def finish(self):
        for _, maker in self.forms.values():
            maker.finish()
