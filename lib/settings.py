# SPDX-License-Identifier: MIT
"""Settings: the environment, then a control file, then the default.

The older tools chose the names.  Control files are needed beside the environment
because qmail-rspawn's environment is fixed when qmail starts; a file's name is the
setting's in lower case, its first line is the value.  Blanks around a value are
ignored.  An empty value means the default, and an empty variable hides the control
file.
"""

import posix
import sys

from .errors import SettingTrouble
from .process import is_link

TYPE_CHECKING = False       # type checkers assume True; typing is too slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping

# The launcher passes -X qmail=DIR, qmail's home, and -X original=PATH, its own
# qmail-remote, which keeps its place under QMAILREMOTE.
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
    "DKMAY": "",
    "DKLOG": "signed",
    "DKREMOTE": ORIGINAL,
    "DKVERIFY": "",
    "DKQUEUE": "",          # empty: see queue.queue_program()
    "DKAUTHSERVID": "",     # empty: the first line of control/me
    "DKTIMEOUT": "20",
    "DKPOLICY": "no",
    "DKDMARC": "off",
    "DKRSAMIN": "1024",
    "DKREASON": "no",
    "DNSCACHEIP": "",       # empty: the name servers of /etc/resolv.conf
    "DKSERVER": "/run/qmail-dk/verify.sock",    # used if it exists
    "DKPUBLISH": "print",
    "DKROTATE": "180",      # days: every six months
    "DKSYNC": "none",
}

PROTOCOLS = ("dkim", "domainkeys")
CANONICALIZATIONS = ("relaxed", "simple")
YES = ("yes", "1")
NO = ("no", "0")
NAME_CHARACTERS = dict.fromkeys(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
LONGEST_FILE = 1000000      # characters of a control file with many lines
LETTERS = "ABCDEFGHIJK"     # that DKVERIFY may have; in lower case the refusal is temporary


class Settings:
    """The settings in force.  Each is read when it is asked for.

    environment: a mapping such as os.environ; control: path of qmail's control
    directory
    """

    def __init__(self, environment: "Mapping[str, str]", control: str = QMAIL + "/control"):
        self.environment = environment
        self.control = control

    def consulted(self, path: "str | bytes") -> bool:
        """Called with the path of each control file and key before its use; for subclasses.

        Returns whether anything may be there.
        """
        return True

    def consult(self, path, part):
        """Returns read(path, part), or None at once where consulted() finds nothing.

        Raises SettingTrouble.
        """
        return read(path, part) if self.consulted(path) else None

    def lookup(self, name: str) -> "tuple[str, str]":
        """Returns (value, source): source is "environment", the control file's path or "default".

        Raises SettingTrouble if the control file exists but can't be read.
        """
        if name in self.environment:
            value, source = cleaned(self.environment[name]), "environment"
        else:
            source = self.control + "/" + name.lower()
            value = self.consult(source, line_of)
            if value is None:
                source = "default"
        return value or DEFAULTS[name], source

    def __getitem__(self, name: str) -> str:
        return self.lookup(name)[0]

    def lines(self, name: str) -> "list[str] | None":
        """Returns the lines of a setting that may have many, None if it is not set.

        Comments (#) and empty lines are left out.  A control file without other lines
        gives [], which differs from no file.  Raises SettingTrouble.
        """
        if name in self.environment:
            text = cleaned(self.environment[name]) or None
        else:
            text = self.consult(self.control + "/" + name.lower(),
                                lambda file: file.read(LONGEST_FILE + 1))
        if text is None:
            return None
        if len(text) > LONGEST_FILE:
            raise SettingTrouble(f"{name} has more than {LONGEST_FILE} characters")
        lines = map(cleaned, text.split("\n"))
        return [line for line in lines if line and not line.startswith("#")]

    def path(self, name: str, directory: "str | None" = None) -> str:
        """Returns the value as an absolute path, "" if it is empty.

        directory: the base of relative paths; None refuses them
        Raises SettingTrouble, also for a path with a control character.
        """
        value = self[name]
        if value and directory and not value.startswith("/"):
            value = directory + "/" + value
        if value:
            require_absolute(name, value)
        return value

    def key_patterns(self) -> str:
        """Returns the patterns of DKSIGN, separated by ":", without blanks around them.

        Raises SettingTrouble if it has none, or one that is no absolute path: either
        would find no key, and mail would go out unsigned.
        """
        patterns = [pattern.strip() for pattern in self["DKSIGN"].split(":")]
        for pattern in filter(None, patterns):
            require_absolute("DKSIGN", pattern)
        if not any(patterns):
            raise SettingTrouble("DKSIGN: there is no pattern in it")
        return ":".join(filter(None, patterns))

    def words(self, name: str, allowed: "tuple[str, ...]") -> "tuple[str, ...]":
        """Returns the value as a tuple of lower-case words, each of them in allowed.

        Raises SettingTrouble for any other word.
        """
        words = tuple(self[name].lower().split())
        for word in words:
            if word not in allowed:
                raise SettingTrouble(
                    f"{name}: {word!r} is not one of: {' '.join(allowed)}")
        return words

    def word(self, name: str, allowed: "tuple[str, ...]") -> str:
        """Returns the value as one lower-case word of allowed.  Raises SettingTrouble for others,
        also for two words: nobody could say which counts.
        """
        words = self.words(name, allowed)
        if len(words) != 1:
            raise SettingTrouble(f"{name} is more than one word")
        return words[0]

    def canonicalization(self) -> "tuple[str, str]":
        """Returns DKIMCANON as (header, body); a missing body means simple, as in c=.

        RFC 6376 section 3.5, c=.  Raises SettingTrouble.
        """
        header, _, body = self["DKIMCANON"].lower().partition("/")
        body = body or "simple"
        if header not in CANONICALIZATIONS or body not in CANONICALIZATIONS:
            raise SettingTrouble(
                f"DKIMCANON: {self['DKIMCANON']!r} is not HEADER/BODY, "
                "each of them relaxed or simple")
        return header, body

    def seconds(self, name: str) -> "int | None":
        """Returns the value as a positive int of seconds, None if it is empty.

        Raises SettingTrouble.
        """
        return self.number(name, "seconds")

    def number(self, name: str, unit: str) -> "int | None":
        """Returns the value as a positive int of at most nine digits, None if it is empty.

        unit: its name in the text of SettingTrouble
        """
        value = self[name]
        if not value:
            return None
        if not (value.isascii() and value.isdigit()) or len(value) > 9 or not int(value):
            raise SettingTrouble(f"{name}: {value!r} is not a number of {unit}")
        return int(value)

    def is_on(self, name: str) -> bool:
        """Returns whether the value is yes or 1, not no or 0.  Raises SettingTrouble for others."""
        return self.word(name, YES + NO) in YES

    def letters(self) -> str:
        """Returns DKVERIFY, the results to refuse: LETTERS in either case, hyphens and blanks; str.

        Hyphens and blanks mean nothing, so "-" refuses no result; "" means not to
        verify.  Raises SettingTrouble for other characters: a typing error there
        would refuse the wrong mail, or none.
        """
        value = self["DKVERIFY"]
        for letter in value:
            if letter not in LETTERS + LETTERS.lower() + "- \t":
                raise SettingTrouble(f"DKVERIFY: {letter!r} is not a letter from A to K")
        return value

    def dmarc(self) -> str:
        """Returns DKDMARC: "off", "mark" or "refuse".  Raises SettingTrouble for others."""
        return self.word("DKDMARC", ("off", "mark", "refuse"))

    def host_name(self) -> str:
        """Returns DKAUTHSERVID, else the first line of control/me, else "".

        Raises SettingTrouble.
        """
        value = self["DKAUTHSERVID"]
        if not value:
            value = self.consult(self.control + "/me", line_of) or ""
        return value

    def authserv_id(self) -> bytes:
        """Returns host_name() as bytes, for an authserv-id (RFC 8601 section 2.5).

        Raises SettingTrouble if it has no characters, or others than a host name has.
        """
        value = self.host_name()
        if not value or not value.isascii() or value.translate(NAME_CHARACTERS):
            raise SettingTrouble(
                f"DKAUTHSERVID or {self.control}/me: {value!r} is not a host name")
        return value.encode()

    def unsigned_on_error(self) -> bool:
        """Returns whether DKONERROR sends a message unsigned that can't be signed.

        Raises SettingTrouble.
        """
        return self.word("DKONERROR", ("defer", "unsigned")) == "unsigned"

    def checks_forwarded(self) -> bool:
        """Returns whether DKFORWARDED demands that mail from outside proves the domain it is
        signed as.  Raises SettingTrouble.
        """
        return self.word("DKFORWARDED", ("check", "sign")) == "check"

    def logs_keyless(self) -> bool:
        """Returns whether DKLOG wants a line for mail that no key fits.  Raises SettingTrouble."""
        return self.word("DKLOG", ("signed", "all")) == "all"

    def temporary_directory(self) -> "str | None":
        """Returns TMPDIR, the directory for large messages, or None.  Raises SettingTrouble."""
        value = cleaned(self.environment.get("TMPDIR", ""))
        if value:
            require_absolute("TMPDIR", value)
        return value or None


def require_absolute(name, path):
    """Raises SettingTrouble if a setting's path is relative or has a control character.

    A relative path would differ between programs, since qmail-remote runs in queue/mess.
    """
    if not path.startswith("/") or not (path.isascii() and path.isprintable()) and any(
            c < " " or c == "\x7f" for c in path):
        raise SettingTrouble(f"{name}: {path!r} is not an absolute path")


def cleaned(value):
    """Returns a value without the blanks and the byte order mark of an editor around it."""
    return value.strip().strip("\ufeff").strip()


def first_line(path):
    """Returns the first line of a control file, cleaned, None if there is no file.

    Raises SettingTrouble if it can't be read.
    """
    return read(path, line_of)


def line_of(file):
    """Returns the next line of an open control file, cleaned."""
    return cleaned(file.readline(65536))


def read(path, part):
    """Returns part(file) for the open control file at path, None if there is no file.

    Raises SettingTrouble if it can't be read.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", opener=without_waiting) as file:
            return part(file)
    except FileNotFoundError as error:
        if is_link(path):
            raise SettingTrouble(f"{path} is a link to nothing") from error
        return None
    except OSError as error:
        raise SettingTrouble(
            f"unable to read {path}: {error.strerror}; it must be readable to qmail's users"
        ) from error


def without_waiting(path, flags):
    """Opens a file, as the opener of open(); does not wait for the writer of a FIFO."""
    return posix.open(path, flags | posix.O_NONBLOCK)
