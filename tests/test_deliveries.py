# SPDX-License-Identifier: MIT
"""Deliveries through the installed launcher, as qmail-rspawn runs it.

Whatever is broken, qmail-send must see Z, or K and the whole message: never D.
"""

import os
import resource
import shutil
import signal
import subprocess

import pytest

from tests import judges, rspawn, signing

SMALL = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"
LARGE = SMALL + b"A line of a large message.\n" * 80_000      # 2 MB: beyond what memory is for

# An original that takes the message, tells what it has got, and reports success.
ORIGINAL = """#!/bin/sh
printf '%s\\n' "$@" >"$SCRATCH/arguments"
grep 'Sig[BIC]' /proc/self/status >"$SCRATCH/signals"
cat >"$SCRATCH/sent"
printf 'r\\0Kaccepted\\n\\0'
"""


class Host:
    """A scratch qmail host with a key for example.com."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "control").mkdir()
        self.original = self.program("original", ORIGINAL)
        self.keys = directory / "keys"
        signer = signing.Signer(self.keys, (("example.com", "default", "rsa.pem"),))
        self.records = signer.records
        self.message = directory / "message"
        self.message.write_bytes(SMALL)
        self.launcher = rspawn.install_launcher(directory)
        self.environment = {"PATH": os.environ["PATH"], "SCRATCH": str(directory),
                            "DKSIGN": f"{self.keys}/%/default", "DKREMOTE": str(self.original)}

    def program(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def deliver(self, **options):
        return rspawn.deliver([self.launcher], self.message, self.environment, **options)

    @property
    def sent(self):
        """What the original read, or None if it was not run."""
        path = self.directory / "sent"
        return path.read_bytes() if path.exists() else None

    def sent_signed(self, message=None):
        """Whether the whole message was sent, with signatures that verify."""
        message = self.message.read_bytes() if message is None else message
        if self.sent is None or not self.sent.endswith(message):
            return False
        verdicts = judges.dkimpy(self.sent.replace(b"\n", b"\r\n"), self.records)
        return [(v.domain, v.result) for v in verdicts] == [("example.com", "pass")]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.mark.parametrize("message", [SMALL, LARGE], ids=["small", "large"])
def test_signs_and_delivers(host, message):
    host.message.write_bytes(message)
    assert host.deliver() == ("K", b"accepted\n")
    assert host.sent_signed()


def test_passes_arguments_on(host):
    arguments = ("[192.0.2.1]", "", "a b@example.net", "*?'\"$x@example.net")
    rspawn.deliver([host.launcher], host.message, host.environment, arguments)
    assert (host.directory / "arguments").read_text() == "\n".join(arguments) + "\n"


@pytest.mark.parametrize("charset", ["EUC-JP", "BIG5", "TCVN5712-1"])
def test_addresses_in_a_locale_that_has_no_such_characters(host, charset):
    """Python could not give some bytes back, or, for the last, not start at all."""
    if shutil.which("localedef"):
        subprocess.run(["localedef", "-c", "-i", "C", "-f", charset, host.directory / "odd"],
                       capture_output=True)     # it complains, and makes it all the same
    if not (host.directory / "odd").exists():
        pytest.skip("needs localedef and the Debian package locales")
    host.environment.update(LC_ALL="odd", LOCPATH=str(host.directory))
    bytes_of_all_kinds = bytes(c for c in range(1, 256) if c != 10)
    arguments = ["example.net", bytes_of_all_kinds + b"@example.com", b"\x80\xff\xa1@example.net"]
    result = rspawn.deliver([host.launcher], host.message, host.environment, arguments)
    assert result == ("K", b"accepted\n")
    assert (host.directory / "arguments").read_bytes().split(b"\n")[1:-1] == arguments[1:]
    assert host.sent_signed()


@pytest.mark.parametrize("ignored", [[], [signal.SIGPIPE], [signal.SIGPIPE, signal.SIGINT,
                                                            signal.SIGTERM, signal.SIGXFSZ]])
def test_passes_signal_dispositions_on(host, ignored):
    def dispositions(command):
        def ignore():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
        rspawn.deliver(command, host.message, host.environment, preexec_fn=ignore)
        return (host.directory / "signals").read_text()
    assert dispositions([host.launcher]) == dispositions([host.original])


def test_the_original_inherits_no_timer(host):
    timer = host.directory / "timer"
    host.program("original", f"""#!{rspawn.PYTHON} -IS
import signal
print(signal.getitimer(signal.ITIMER_PROF), file=open({str(timer)!r}, "w"))
print("r\\0Kaccepted\\n\\0", end="")
""")
    assert host.deliver().verdict == "K"
    assert timer.read_text() == "(0.0, 0.0)\n"


def test_a_signer_that_loops_is_ended(host):
    """As Python itself may, where memory is short."""
    text = rspawn.SCRIPT.read_text()
    assert "\nLONGEST = 120\n" in text
    host.program("signer.py", text.replace("\nLONGEST = 120\n", "\nLONGEST = 0.1\n"))
    (host.directory / "lib").mkdir()
    (host.directory / "lib" / "__init__.py").write_text("while True:\n    pass\n")
    rspawn.install_launcher(host.directory, script=host.directory / "signer.py")
    assert host.deliver() == ("Z", b"Unable to run qmail-remote.\n")


def test_domain_without_key_is_sent_as_it_came(host):
    host.message.write_bytes(SMALL.replace(b"example.com", b"example.org") + b"bare \r CR\r\n")
    result = rspawn.deliver([host.launcher], host.message, host.environment,
                            ("example.net", "joe@example.org", "jane@example.net"))
    assert result == ("K", b"accepted\n")
    assert host.sent == host.message.read_bytes()


def test_message_on_a_pipe(host):
    """By hand: `qmail-remote host sender recipient` at the end of a pipeline."""
    process = subprocess.run([host.launcher, "example.net", "joe@example.com", "jane@example.net"],
                             input=LARGE, env=host.environment, capture_output=True, check=True)
    assert process.stdout == b"r\0Kaccepted\n\0"
    assert host.sent_signed(LARGE)


def garbage_key(host):
    (host.keys / "example.com" / "default").write_bytes(b"no key\n")


def truncated_key(host):
    path = host.keys / "example.com" / "default"
    path.write_bytes(path.read_bytes()[:-200])


def key_is_a_directory(host):
    path = host.keys / "example.com" / "default"
    path.unlink()
    path.mkdir()


def key_links_to_itself(host):
    path = host.keys / "example.com" / "default"
    path.unlink()
    path.symlink_to("default")


def key_without_percent_missing(host):
    host.environment["DKSIGN"] = str(host.directory / "no-such-key")


def selector_impossible(host):
    host.environment["DKSIGN"] = str(host.keys / "%" / "a key")
    shutil.copy(host.keys / "example.com" / "default", host.keys / "example.com" / "a key")


def large_message_without_a_place(host):
    host.message.write_bytes(LARGE)
    host.environment["TMPDIR"] = str(host.directory / "no-such-directory")


SIGNING_FAILS = {
    garbage_key: b"private key",
    truncated_key: b"private key",
    key_is_a_directory: b"is not a file",
    key_links_to_itself: b"too many links",
    key_without_percent_missing: b"does not exist",
    selector_impossible: b"selector",
    large_message_without_a_place: b"no place",
}


@pytest.mark.parametrize("breaks", SIGNING_FAILS, ids=lambda f: f.__name__)
def test_signing_fails(host, breaks):
    breaks(host)
    result = host.deliver()
    assert result.verdict == "Z" and host.sent is None
    assert SIGNING_FAILS[breaks] in result.text

    host.environment["DKONERROR"] = "unsigned"
    assert host.deliver().verdict == "K"
    assert host.sent == host.message.read_bytes()


def original_missing(host):
    host.original.unlink()


def original_leads_back(host):
    host.environment["DKREMOTE"] = str(host.launcher)


def interpreter_missing(host):
    rspawn.install_launcher(host.directory, python="/no/such/python")


def interpreter_dies_at_start(host):
    rspawn.install_launcher(host.directory, python=host.program(
        "python", "#!/bin/sh\necho 'hopeless: no memory' >&2\nexit 1\n"))


def interpreter_is_killed(host):
    rspawn.install_launcher(host.directory, python=host.program(
        "python", "#!/bin/sh\nkill -KILL $$\n"))


def script_missing(host):
    rspawn.install_launcher(host.directory, script=host.directory / "gone.py")


def library_missing(host):
    shutil.copy(rspawn.SCRIPT, host.directory)
    rspawn.install_launcher(host.directory, script=host.directory / rspawn.SCRIPT.name)


def message_is_a_directory(host):
    host.message = host.directory / "directory"
    host.message.mkdir()


def bad_setting(host):
    host.environment["DKPROTOCOLS"] = "dkim domainkey"


def control_file_unreadable(host):
    (host.directory / "control" / "dkimcanon").mkdir()


def bad_on_error(host):
    garbage_key(host)
    host.environment["DKONERROR"] = "ignore"


ALWAYS_DEFERRED = {
    original_missing: b"DKREMOTE",
    original_leads_back: b"DKREMOTE leads back",
    interpreter_missing: b"ended with status 127",
    interpreter_dies_at_start: b"ended with status 1 ",
    interpreter_is_killed: b"Unable to run",
    script_missing: b"ended with status 2",
    library_missing: b"No module named 'lib'",
    message_is_a_directory: b"ended with status 1 ",
    bad_setting: b"'domainkey' is not one of: dkim domainkeys",
    control_file_unreadable: b"dkimcanon",
    bad_on_error: b"'ignore' is not one of",
}


@pytest.mark.parametrize("breaks", ALWAYS_DEFERRED, ids=lambda f: f.__name__)
def test_always_deferred(host, breaks):
    breaks(host)
    if os.path.isdir(host.message):
        fd = os.open(host.message, os.O_RDONLY)
        process = subprocess.run([host.launcher, "h", "s", "r"], stdin=fd, capture_output=True,
                                 env=host.environment)
        os.close(fd)
        result = rspawn.verdict(rspawn.wait_status(process.returncode), process.stdout)
    else:
        result = host.deliver()
    assert result.verdict == "Z" and host.sent is None
    assert ALWAYS_DEFERRED[breaks] in result.text


ENDS_BADLY = {      # what the original does: what qmail-send sees of it, less its first letter
    "echo 'qmail-remote: error while loading shared libraries' >&2; exit 127":
        ("Z", b"mail-remote: error while loading shared libraries\n"),
    "printf 'rhalf a rep'; exit 1": ("Z", b"half a rep"),
    "exit 111": ("Z", b"qmail-remote-dk: "),
    "printf 'r\\0Kaccepted\\n\\0'; exit 1": ("K", b"accepted\n"),
    "printf 'hno such host\\n\\0Dgive up\\n\\0'; exit 1": ("D", b"no such host\ngive up\n"),
    "kill -KILL $$": ("Z", b"Unable to run qmail-remote.\n"),
}


@pytest.mark.parametrize("commands", ENDS_BADLY)
def test_the_original_ends_badly(host, commands):
    """As when the libraries that it needs are just being replaced; without us it would be D."""
    host.program("original", f"#!/bin/sh\n{commands}\n")
    verdict, begins = ENDS_BADLY[commands]
    result = host.deliver()
    assert result.verdict == verdict and result.text.startswith(begins), result


def test_without_launcher_a_missing_library_is_deferred(host):
    """Under notqmail's QMAILREMOTE the script may be named directly."""
    shutil.copy(rspawn.SCRIPT, host.directory)
    script = host.directory / rspawn.SCRIPT.name
    result = rspawn.deliver([rspawn.PYTHON, "-IS", script], host.message, host.environment)
    assert result.verdict == "Z" and b"No module named 'lib'" in result.text


def test_report_that_cannot_be_written(host):
    host.original.unlink()
    with open("/dev/full", "wb") as full, open(host.message, "rb") as message:
        process = subprocess.run([host.launcher, "h", "s@example.com", "r"], stdin=message,
                                 stdout=full, stderr=full, env=host.environment)
    assert process.returncode == 111


def test_key_that_may_not_be_read(host):
    """Root reads everything, so root's tests use an ordinary user's eyes."""
    python = "/usr/bin/python3"
    if os.getuid() == 0 and not os.path.exists(python):
        pytest.skip("as root this needs /usr/bin/python3")
    key = host.keys / "example.com" / "default"
    key.chmod(0)
    if os.getuid() == 0:
        # An ordinary user can't pass the temporary directory: by descriptors instead.
        program = host.directory / "as_nobody"
        host.program("as_nobody", f"""#!{python}
import os, sys
sys.path.insert(0, {str(rspawn.CHECKOUT)!r})
from lib import errors, keys
os.setegid(65534); os.seteuid(65534)
try:
    keys.read({os.fsencode(key)!r})
except errors.KeyTrouble as trouble:
    print(trouble)
""")
        output = subprocess.run([python, "-I", program], capture_output=True, check=True).stdout
        assert b"Permission denied" in output and b"group qmail" in output
    else:
        result = host.deliver()
        assert result.verdict == "Z" and b"Permission denied" in result.text


def limited(which, value):
    def limit():
        resource.setrlimit(which, (value, value))
    return limit


@pytest.mark.parametrize("megabytes", [5, 8, 12, 16, 20, 24, 32, 48, 64])
def test_little_memory(host, megabytes):
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_AS, megabytes << 20))
    assert result.verdict in "KZ"
    assert host.sent_signed() if result.verdict == "K" else host.sent is None


@pytest.mark.parametrize("files", range(12, 18))    # sh itself needs descriptor 11
def test_few_descriptors(host, files):
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_NOFILE, files))
    assert result.verdict in "KZ"
    assert host.sent_signed() if result.verdict == "K" else host.sent is None


def test_full_disk(host):
    host.message.write_bytes(LARGE)
    result = host.deliver(preexec_fn=limited(resource.RLIMIT_FSIZE, 1 << 20))
    assert result.verdict == "Z" and b"unable to write a copy" in result.text
    assert host.sent is None


def test_signal_to_the_launcher_does_not_belie_the_report(host):
    """If the launcher died of a signal while the message is sent, it would be sent twice."""
    host.program("original", ORIGINAL.replace("printf 'r", "kill -TERM $PPID; printf 'r"))
    assert host.deliver() == ("K", b"accepted\n")
