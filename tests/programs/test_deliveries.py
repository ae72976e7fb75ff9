# SPDX-License-Identifier: MIT
"""Deliveries through the installed launcher, as qmail-rspawn runs it.

Whatever is broken, qmail-send must see Z, or K and the whole message: never D.
"""

import shutil
import signal
import subprocess

import pytest

from tests.support import rspawn
from tests.support.deliveries import (      # noqa: F401
    LARGE, ORIGINAL, SMALL, host, shell_in_place_of_the_original,
)


@pytest.mark.parametrize("message", [SMALL, LARGE], ids=["small", "large"])
def test_signs_and_delivers(host, message):
    host.message.write_bytes(message)
    assert host.deliver() == ("K", b"accepted\n")
    assert host.sent_signed()


def test_passes_arguments_on(host):
    arguments = ("[192.0.2.1]", "", "a b@example.net", "*?'\"$x@example.net")
    rspawn.deliver([host.launcher], host.message, host.environment, arguments)
    assert (host.directory / "arguments").read_text() == "\n".join(arguments) + "\n"


def test_the_original_has_its_own_name(host):
    """argv[0] is what qmail-rspawn gives, wherever the original is: it may look at that."""
    host.environment["DKREMOTE"] = shell_in_place_of_the_original(host.directory)
    assert host.deliver(cwd=host.directory) == ("K", b"qmail-remote\n")


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
    host.program(rspawn.SCRIPT.name, text.replace("\nLONGEST = 120\n", "\nLONGEST = 0.1\n"))
    (host.directory / "lib").mkdir()
    (host.directory / "lib" / "__init__.py").write_text("while True:\n    pass\n")
    rspawn.install_launcher(host.directory, script=host.directory / rspawn.SCRIPT.name)
    assert host.deliver() == ("Z", b"Unable to run qmail-remote.\n")


# An original that sends a copy of its own, as all mail of the host goes, and tells how that went.
ARCHIVES = """#!/bin/sh
cat >"$SCRATCH/$3"
case $3 in archive@*) ;; *)
	"$LAUNCHER" example.net joe@example.com archive@example.net <"$SCRATCH/$3"; exit ;;
esac
printf 'r\\0Karchived\\n\\0'
"""


def test_an_original_that_sends_a_copy(host):
    """What it starts inherits its environment; that is no loop."""
    host.program("original", ARCHIVES)
    host.environment["LAUNCHER"] = str(host.launcher)
    assert host.deliver() == ("K", b"archived\n")
    for recipient in ("jane@example.net", "archive@example.net"):
        assert (host.directory / recipient).read_bytes().endswith(SMALL)


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


def test_signal_to_the_launcher_does_not_belie_the_report(host):
    """If the launcher died of a signal while the message is sent, it would be sent twice."""
    host.program("original", ORIGINAL.replace("printf 'r", "kill -TERM $PPID; printf 'r"))
    assert host.deliver() == ("K", b"accepted\n")
