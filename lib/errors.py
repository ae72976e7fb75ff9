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


def is_damage(error):
    """Returns whether an exception shows that a file of ours, or of Python's, is not as it was.

    For a zeroed source Python before 3.11.4 raises ValueError, and for zeroed or foreign
    compiled code every Python does.
    """
    return isinstance(error, (ImportError, SyntaxError, EOFError)) or (
        isinstance(error, ValueError)
        and any(words in str(error) for words in ("null bytes", "bad marshal data")))
