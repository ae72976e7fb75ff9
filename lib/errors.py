# SPDX-License-Identifier: MIT
"""The troubles that are ours or the machine's, each with a sentence and a remedy.

Bad mail is never one of these: it is a result.  Every one ends as a temporary
failure, at the one place in each program that catches it; only RequestTrouble,
which is qmail-dk's, ends that with exit code 100.
"""


class Trouble(Exception):
    """Something an administrator can mend; the text says what and how."""


class SettingTrouble(Trouble):
    """A setting can't be read, or its value makes no sense."""


class KeyTrouble(Trouble):
    """A private key exists but can't be used."""


class CryptoTrouble(Trouble):
    """No crypto library, or it gave a wrong answer."""


class ReadTrouble(Trouble):
    """The message can't be read to its end."""


class SpoolTrouble(Trouble):
    """No room, or no place, for the copy of a message that is handed on."""


class RequestTrouble(Trouble):
    """What qmail-dk was asked for can't be done; nothing has been."""
