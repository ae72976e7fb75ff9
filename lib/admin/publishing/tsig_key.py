# SPDX-License-Identifier: MIT
"""Reads a file with a TSIG key (RFC 8945), as tsig-keygen and rndc-confgen write it."""

import base64
import os
import re
import stat

from ... import process
from ...errors import PublishTrouble
from ...mail import address

LONGEST = 10000         # bytes of a file
ALGORITHMS = ("hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")

# Of BIND's configuration: blanks and comments, or a string, a word, a mark.
TOKEN = re.compile(r'(?:\s|//[^\n]*|#[^\n]*|/\*.*?\*/)*(?:"([^"\n]*)"|([^\s{};"]+)|([{};])|$)',
                   re.S)


class TsigKey:
    """A key.  name: str; algorithm: one of ALGORITHMS; secret: bytes"""

    __slots__ = "name", "algorithm", "secret"

    def __init__(self, name, algorithm, secret):
        self.name = name
        self.algorithm = algorithm
        self.secret = secret


def read(path):
    """Returns the TsigKey in a file.  Raises PublishTrouble, which never shows its content."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                raise PublishTrouble(f"{path} is not a file; remedy: correct DKPUBLISH")
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                raise PublishTrouble(f"{path}: others can read or change this key; remedy: chmod "
                                     "o= it, and make another key if somebody may have seen it")
            process.keep_memory_private()
            text = file.read(LONGEST).decode("latin-1")
    except OSError as error:
        raise PublishTrouble(f"unable to read {path}, which DKPUBLISH names: {error.strerror}; "
                             "remedy: correct that") from error
    try:
        return parsed(text)
    except ValueError as error:
        raise PublishTrouble(f"{path}: {error}; remedy: make it by tsig-keygen qmail-dk") from None


def parsed(text):
    """Returns the TsigKey in the text of a file.  Raises ValueError, which says what is wrong."""
    words = list(tokens(text))
    if words[-1:] == [";"]:
        words.pop()
    if len(words) != 10 or words[:1] + words[2:3] + words[5:9:3] + words[9:] != [
            "key", "{", ";", ";", "}"]:
        raise ValueError("it is not one key statement, with an algorithm and a secret")
    name, values = words[1], {words[3]: words[4], words[6]: words[7]}
    if values.keys() != {"algorithm", "secret"}:
        raise ValueError("a key has an algorithm and a secret, and no more")
    if not address.are_labels(name.rstrip(".").encode("latin-1")):
        raise ValueError("the name of the key is not a domain name")
    algorithm = values["algorithm"].lower().rstrip(".")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"its algorithm is none of: {' '.join(ALGORITHMS)}")
    try:
        return TsigKey(name, algorithm, base64.b64decode(values["secret"], validate=True))
    except ValueError:
        raise ValueError("its secret is not in base64") from None


def tokens(text):
    """Yields the words, strings and marks of a text, str.  Raises ValueError."""
    start = 0
    while start < len(text):
        found = TOKEN.match(text, start)
        if not found:
            raise ValueError("it is not in the form of BIND's configuration")
        if found.lastindex:
            yield found[found.lastindex]
        start = found.end()
