# SPDX-License-Identifier: MIT
"""Exceptions for errors of our own or of the machine; each names a remedy.

Bad mail never raises one of these: it is a result.  Each program catches them in
one place and reports a temporary failure.  Only qmail-dk raises PublishTrouble and
RequestTrouble; it exits 100 for the latter.
"""


class Trouble(Exception):
    """An error that an administrator can fix; the text says what is wrong and how."""


class SettingTrouble(Trouble):
    """A setting can't be read, or its value is invalid."""


class KeyTrouble(Trouble):
    """A private key exists but can't be used."""


class CryptoTrouble(Trouble):
    """No crypto library is found, or it failed or returned a wrong result."""


class ReadTrouble(Trouble):
    """Reading the message failed before its end."""


class SpoolTrouble(Trouble):
    """The copy of a message that is handed on can't be created or written."""


class PublishTrouble(Trouble):
    """Records can't be published, or withdrawn, as DKPUBLISH says."""


class RequestTrouble(Trouble):
    """qmail-dk can't do what was requested, and has changed nothing."""
