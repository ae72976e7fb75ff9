# SPDX-License-Identifier: MIT
"""Settings: the environment, then a control file, then the default.

The names are the older tools' own.  A control file is needed beside the
environment because qmail-rspawn's environment is fixed when qmail starts; its
name is the setting's in lower case, its first line the value.  An empty value
means the default, and an empty variable hides the control file.
"""

import posix
import sys

from .errors import SettingTrouble

# -X qmail=DIR and -X original=PATH are how the launcher tells where this qmail
# lives, and its own qmail-remote, which keeps its place under QMAILREMOTE.
QMAIL = sys._xoptions.get("qmail", "/var/qmail")
ORIGINAL = sys._xoptions.get("original", QMAIL + "/bin/qmail-remote.orig")

DEFAULTS = {
    "DKSIGN": "/etc/domainkeys/%/default",
    "DKPROTOCOLS": "dkim domainkeys",
    "DKIMCANON": "relaxed/relaxed",
    "DKIMHEADERS": "",
    "DKIMIDENTITY": "",
    "DKIMEXPIRE": "",
    "DKONERROR": "defer",
    "DKFORWARDED": "check",
    "DKREMOTE": ORIGINAL,
    "DKVERIFY": "",
    "DKQUEUE": "",          # see queueing.queue_program()
    "DKAUTHSERVID": "",     # the first line of control/me
    "DKTIMEOUT": "20",
    "DKPOLICY": "no",
    "DKRSAMIN": "1024",
    "DKREASON": "no",
    "DNSCACHEIP": "",       # the name servers of /etc/resolv.conf
    "DKSERVER": "/run/qmail-dk/verify.sock",    # used where it is
}

PROTOCOLS = ("dkim", "domainkeys")
CANONICALIZATIONS = ("relaxed", "simple")
YES = ("yes", "1")
NO = ("no", "0")
NAME_CHARACTERS = dict.fromkeys(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
LETTERS = "ABCDEFGHIJK"     # what DKVERIFY can name; lower case: temporary


class Settings:
    """The settings in force, read when they are asked for.

    environment: a mapping such as os.environ; control: qmail's control
    directory.
    """

    def __init__(self, environment, control=QMAIL + "/control"):
        self.environment = environment
        self.control = control

    def consulted(self, path):
        """Called with the path of each control file and key before it is looked at."""

    def lookup(self, name):
        """-> (value, where it comes from), both str.

        Raises SettingTrouble if the control file is there but can't be read.
        """
        if name in self.environment:
            value, source = self.environment[name], "environment"
        else:
            source = self.control + "/" + name.lower()
            self.consulted(source)
            value = first_line(source)
            if value is None:
                source = "default"
        return value or DEFAULTS[name], source

    def __getitem__(self, name):
        return self.lookup(name)[0]

    def words(self, name, allowed):
        """The value as a tuple of lower-case words, each of them in allowed.

        Raises SettingTrouble for any other word.
        """
        words = tuple(self[name].lower().split())
        for word in words:
            if word not in allowed:
                raise SettingTrouble(
                    f"{name}: {word!r} is not one of: {' '.join(allowed)}")
        return words

    def canonicalization(self):
        """DKIMCANON -> (header, body), as in the c= tag (RFC 6376 section 3.5).

        Raises SettingTrouble, as all below do.
        """
        header, _, body = self["DKIMCANON"].lower().partition("/")
        body = body or "simple"
        if header not in CANONICALIZATIONS or body not in CANONICALIZATIONS:
            raise SettingTrouble(
                f"DKIMCANON: {self['DKIMCANON']!r} is not HEADER/BODY, "
                "each of them relaxed or simple")
        return header, body

    def seconds(self, name):
        """The value as a positive int of seconds, or None where it is empty."""
        return self.number(name, "seconds")

    def number(self, name, unit):
        """The value as a positive int, or None where it is empty.  unit: for the message."""
        value = self[name]
        if not value:
            return None
        if not (value.isascii() and value.isdigit()) or len(value) > 9 or not int(value):
            raise SettingTrouble(f"{name}: {value!r} is not a number of {unit}")
        return int(value)

    def is_on(self, name):
        """Whether the value is yes or 1; no or 0 is the other choice."""
        return any(word in YES for word in self.words(name, YES + NO))

    def letters(self):
        """DKVERIFY: the results that are refused, as a str of LETTERS in both cases.

        Hyphens and blanks count as nothing, so "-" refuses none; "" is: don't
        verify.  Any other character would be a mistake with consequences.
        """
        value = self["DKVERIFY"]
        for letter in value:
            if letter.upper() not in LETTERS + "- ":
                raise SettingTrouble(f"DKVERIFY: {letter!r} is not a letter from A to K")
        return value

    def host_name(self):
        """DKAUTHSERVID, else control/me; "" where neither is set.  Raises SettingTrouble."""
        value = self["DKAUTHSERVID"]
        if not value:
            self.consulted(self.control + "/me")
            value = first_line(self.control + "/me") or ""
        return value

    def authserv_id(self):
        """host_name(), checked (RFC 8601 section 2.5), as bytes.  Raises SettingTrouble."""
        value = self.host_name()
        if not value or not value.isascii() or value.translate(NAME_CHARACTERS):
            raise SettingTrouble(
                f"DKAUTHSERVID or {self.control}/me: {value!r} is not a host name")
        return value.encode()

    def unsigned_on_error(self):
        """DKONERROR: whether a message that can't be signed goes out unsigned."""
        return self.words("DKONERROR", ("defer", "unsigned")) == ("unsigned",)

    def checks_forwarded(self):
        """DKFORWARDED: whether mail from outside must prove a domain before we sign as it."""
        return self.words("DKFORWARDED", ("check", "sign")) != ("sign",)

    def temporary_directory(self):
        """TMPDIR, for large messages, or None."""
        return self.environment.get("TMPDIR") or None


def first_line(path):
    """The first line of a control file, blanks stripped; None where there is no file.

    Raises SettingTrouble if it can't be read.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", opener=at_once) as file:
            return file.readline(65536).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingTrouble(
            f"unable to read {path}: {error.strerror}; it must be readable to qmail's users"
        ) from error


def at_once(path, flags):
    """Opens a file for open(): one that is a FIFO without waiting for its other end."""
    return posix.open(path, flags | posix.O_NONBLOCK)
