# SPDX-License-Identifier: MIT
"""Asks seven independent readers of From: for the author.

Uses nothing of lib/.  A reader is given the value of an address field (bytes, LF
folds), and returns the domains of all addresses that it finds there, a set of
bytes in lower case; it is empty if the reader can't make sense of the value.
Readers that are other programs keep running, and answer line by line.  All of them
are asked before the first answer is read, so that they work at the same time.
"""

import atexit
import ctypes
import email.errors
import email.parser
import email.policy
import email.utils
import functools
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMPAT32 = email.parser.BytesHeaderParser(policy=email.policy.compat32)
DEFAULT = email.parser.BytesHeaderParser(policy=email.policy.default)
# Exceptions of the modern policy on values that are no addresses.
HOSTILE = (email.errors.MessageError, AttributeError, LookupError, TypeError, ValueError)
# Newer Pythons find nothing in a value outside the grammar, unless strict is False.
STRICTNESS = ([{"strict": False}, {"strict": True}]
              if getattr(email.utils, "supports_strict_parsing", False) else [{}])
QUOTED = re.compile(rb'"(?:\\.|[^"\\])*"', re.DOTALL)


class Missing(Exception):
    """A reader is not installed; the text says what to install."""


@functools.lru_cache(maxsize=None)
def readers():
    """Returns ({name: reader} of the installed readers, [what the others need]).

    A reader is a function that asks, and returns a function that waits for the answer.
    """
    found, missing = {}, []
    for name, make in MAKERS.items():
        try:
            found[name] = make()
        except Missing as need:
            missing.append(f"{name} needs {need}")
    return found, missing


def domains(value):
    """Returns the domains that each installed reader finds, {name: set}."""
    asked = {name: ask(value) for name, ask in readers()[0].items()}
    return {name: answer() for name, answer in asked.items()}


def domains_of(addresses):
    """Returns the text after the last @ of each address, as a set of bytes in lower case.

    Removes blanks, and apostrophes at the end, which no name in the DNS has.
    """
    found = {address.rpartition(b"@")[2] for address in addresses if b"@" in address}
    return {b"".join(domain.split()).rstrip(b"'").lower() for domain in found} - {b""}


def is_below(domain, parent):
    """Returns whether a domain in UTF-8 is below another (bytes), before and after IDNA."""
    try:
        in_ascii = domain.decode().encode("idna").lower()
    except UnicodeError:    # no name in the DNS
        in_ascii = domain
    return domain.endswith(b"." + parent) and in_ascii.endswith(b"." + parent)


def unfolded(value):
    return re.sub(rb"\n(?=[ \t])", b"", value)


def python_compat32():
    """Reads with email.message and email.utils, as most programs in Python do."""
    def read(value):
        field = str(COMPAT32.parsebytes(b"From:" + value + b"\n\n")["from"])
        text = unfolded(value).decode("utf-8", "surrogateescape")
        found = []
        for form in (field, text):
            found.append(email.utils.parseaddr(form)[1])
            for strictness in STRICTNESS:
                found += [mailbox for _, mailbox in email.utils.getaddresses([form],
                                                                             **strictness)]
        return domains_of([mailbox.encode("utf-8", "surrogateescape") for mailbox in found])
    return at_once(read)


def at_once(read):
    """Returns a reader made of a function that reads a value."""
    return functools.partial(functools.partial, read)


def python_default():
    """Reads with the parser of email.policy.default."""
    def read(value):
        try:
            found = DEFAULT.parsebytes(b"From:" + value + b"\n\n")["from"].addresses
            return domains_of([f"@{mailbox.domain}".encode("utf-8", "surrogateescape")
                               for mailbox in found])
        except HOSTILE:
            return set()
    return at_once(read)


def opendkim():
    """Reads the first address, as OpenDKIM does (and OpenDMARC, with a copy of its code)."""
    try:
        library = ctypes.CDLL("libopendkim.so.11")
    except OSError:
        raise Missing("the Debian package libopendkim11 (with opendkim-tools)") from None

    def read(value):
        text = ctypes.create_string_buffer(value.replace(b"\n", b"\r\n"))
        user, domain = ctypes.c_char_p(), ctypes.c_char_p()
        if library.dkim_mail_parse(text, ctypes.byref(user), ctypes.byref(domain)):
            return set()
        return domains_of([b"@" + (domain.value or b"")])
    return at_once(read)


class Process:
    """A running program that answers each line with a line."""

    def __init__(self, command, need, **streams):
        self.process = subprocess.Popen(command, bufsize=0, **{
            "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL,
            **streams})
        atexit.register(self.end)
        self.questions = self.process.stdin
        self.answers = self.process.stdout or self.process.stderr
        self.need = need

    def ask(self, question):
        """Sends a line (bytes).  Raises Missing if the program has ended."""
        assert b"\0" not in question
        try:
            self.questions.write(question + b"\n")
        except BrokenPipeError:
            raise Missing(self.need) from None

    def answer(self):
        """Returns the next answer with its line end, bytes.  Raises Missing."""
        answer = bytearray()
        while not answer.endswith(b"\n"):
            read = os.read(self.answers.fileno(), 65536)
            if not read:
                raise Missing(self.need)
            answer += read
        return bytes(answer)

    def end(self):
        self.questions.close()
        self.process.wait()


def in_hexadecimal(process):
    """Returns a reader for a Process whose questions and answers are in hexadecimal."""
    def ask(value):
        process.ask(unfolded(value).hex().encode())
        return answer

    def answer():
        return domains_of([bytes.fromhex(word.decode()) for word in process.answer().split()])
    return there(ask)


def there(ask):
    """Returns the reader after a first question.  Raises Missing if it doesn't answer."""
    assert ask(b"alice@example.com")() == {b"example.com"}
    return ask


def perl(module, package):
    if not shutil.which("perl"):
        raise Missing("perl")
    return in_hexadecimal(Process(
        ["perl", os.path.join(HERE, "perl", "addresses.pl"), module],
        f"the Debian package {package}"))


def email_address_xs():
    return perl("Email::Address::XS", "libemail-address-xs-perl")


def mail_address():
    return perl("Mail::Address", "libmailtools-perl")


def go_net_mail():
    """Reads with Go's net/mail, in a program compiled for this process."""
    if not shutil.which("go"):
        raise Missing("go (on Debian: golang-go)")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "addresses")
        subprocess.run(["go", "build", "-o", program, os.path.join(HERE, "go", "addresses.go")],
                       check=True, cwd=directory,
                       env={**os.environ, "GOCACHE": os.path.join(directory, "cache"),
                            "GOFLAGS": "", "GO111MODULE": "off", "CGO_ENABLED": "0"})
        return in_hexadecimal(Process([program], "go"))


def mutt():
    """Reads with Mutt's parser: its setting "from", in a configuration file without end."""
    if not shutil.which("mutt"):
        raise Missing("mutt")
    source, sink = os.pipe()
    process = Process(["mutt", "-n", "-F", f"/dev/fd/{source}", "-Q", "from"], "mutt",
                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                      stderr=subprocess.PIPE, pass_fds=(source,))
    os.close(source)
    process.questions = open(sink, "wb", buffering=0)
    process.questions.write(b"set sleep_time=0\n")     # no pause after a message

    def ask(value):
        quoted = unfolded(value).replace(b"'", b"'\\''")
        assert b"\n" not in quoted
        process.ask(b"set from='" + quoted + b"'\necho \"<$from>\"")
        return answer

    def answer():
        return domains_of(re.findall(rb"@[^@<>,;]*", QUOTED.sub(b"q", process.answer())))
    return there(ask)


# The programs first, so that they work while the functions do.
MAKERS = {"Email::Address::XS": email_address_xs, "Mail::Address": mail_address,
          "Go": go_net_mail, "Mutt": mutt, "OpenDKIM": opendkim,
          "Python, compat32": python_compat32, "Python, default": python_default}
