# SPDX-License-Identifier: MIT
"""Our sh scripts under each shell that may be a host's /bin/sh.

Korn shells close the descriptors above 2 that their exec has opened; ksh93 and yash
add other numbers to a signal than 128.
"""

import os
import subprocess
import sys

import pytest

from tests.support import deliveries
from tests.support import rspawn, shells
from tests.support.deliveries import LARGE, SMALL
from tests.support.install_driver import directory, host as installed_host      # noqa: F401

# What is passed once more where that shell is /bin/sh: all of install.sh, each launcher.
AS_BIN_SH = ("install/test_qmailremote.py::test_qmailremote",
             "install/test_resident.py::test_it_signs",
             "install/test_resident.py::test_python_gone")

UNSIGNED = SMALL.replace(b"example.com", b"example.org")

# Writes its report to both of the report's descriptors, to 2 before it reads the message.
ORIGINAL = """#!/bin/sh
printf 'ron 2, ' >&2
printf '\\0' >&2
cat >"$SCRATCH/sent"
printf 'Kon 1\\n'
printf '\\0'
"""


@pytest.fixture(params=shells.NAMES)
def shell(request):
    return request.param


@pytest.fixture(params=["sh", "its own name"])
def host(tmp_path, shell, request):
    """A scratch qmail host whose launcher is run by a shell."""
    host = deliveries.Host(tmp_path)
    host.shell = shells.named_sh(tmp_path, shell)
    if request.param != "sh":
        host.shell = shells.program(shell) + (" sh" if shell == "busybox" else "")
    shells.run_by(host.shell, host.launcher)
    host.program("original", ORIGINAL)
    return host


@pytest.mark.parametrize("script", shells.SCRIPTS,
                         ids=lambda path: str(path.relative_to(rspawn.CHECKOUT)))
def test_every_script_is_one_for_this_shell(shell, script):
    command = [shells.program(shell)] + ["sh"] * (shell == "busybox")
    done = subprocess.run([*command, "-n", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr        # ksh93 says there what it finds old-fashioned


@pytest.mark.parametrize("message", [SMALL, LARGE, UNSIGNED], ids=["small", "large", "unsigned"])
def test_the_message_and_the_report(host, message):
    """All bytes of both, whatever the original does with descriptor 2."""
    host.message.write_bytes(message)
    sender = "joe@example.org" if message is UNSIGNED else "joe@example.com"
    result = rspawn.deliver([host.launcher], host.message, host.environment,
                            ("example.net", sender, "jane@example.net"))
    assert result == ("K", b"on 2, on 1\n")
    assert host.sent == message if message is UNSIGNED else host.sent_signed()


def test_all_bytes_of_an_address(host, shell):
    host.program("original", deliveries.ORIGINAL)
    arguments = ["example.net", bytes(c for c in range(1, 256) if c != 10) + b"@example.com", b""]
    result = rspawn.deliver([host.launcher], host.message, host.environment, arguments)
    if shell == "yash":     # in the C locale, which is qmail's: install.sh refuses it
        assert (host.directory / "arguments").read_bytes().split(b"\n")[1:-1] != arguments[1:]
        return
    assert result.verdict == "K"
    assert (host.directory / "arguments").read_bytes().split(b"\n")[1:-1] == arguments[1:]


@pytest.mark.parametrize("breaks", [
    deliveries.interpreter_missing, deliveries.interpreter_dies_at_start,
    deliveries.interpreter_is_killed, deliveries.script_missing,
    deliveries.null_device_lost, deliveries.launcher_cut_short,
    deliveries.bad_setting], ids=lambda f: f.__name__)
def test_always_deferred(host, breaks):
    breaks(host)
    if "#!/bin/sh\n" in host.launcher.read_text():      # a new one
        shells.run_by(host.shell, host.launcher)
    result = host.deliver()
    assert result.verdict == "Z" and host.sent is None
    assert deliveries.ALWAYS_DEFERRED[breaks] in result.text


@pytest.mark.parametrize("commands", deliveries.ENDS_BADLY)
def test_the_original_ends_badly(host, commands):
    host.program("original", f"#!/bin/sh\n{commands}\n")
    verdict, begins = deliveries.ENDS_BADLY[commands]
    result = host.deliver()
    assert result.verdict == verdict and result.text.startswith(begins), result


def test_signal_to_the_launcher(host):
    host.program("original", ORIGINAL.replace("cat >", "kill -TERM $PPID; cat >"))
    assert host.deliver() == ("K", b"on 2, on 1\n") and host.sent_signed()


def test_the_launcher_gives_the_descriptor(host):
    python = host.program("python", "#!/bin/sh\nprintf 'r\\0Kon 3\\n\\0' >&3\n")
    shells.run_by(host.shell, rspawn.install_launcher(host.directory, python=python))
    assert host.deliver() == ("K", b"on 3\n")


def test_the_verifiers_launcher_passes_descriptors_on(tmp_path, shell):
    """3 and 4 have the envelope under qmail-qfilter, 6 takes the answer of qmail-queue."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$(cat) $(cat <&3) $(cat <&4)"; echo answer >&6\n')
    python.chmod(0o755)
    launcher = tmp_path / "launcher"
    launcher.write_text((rspawn.CHECKOUT / "launcher" / "qmail-dk-verify").read_text()
                        .replace("@PYTHON@", str(python)).replace("@PROGRAM@", str(python)))
    for name in "034":
        (tmp_path / name).write_text(f"on {name}\n")
    done = subprocess.run(["sh", "-c", 'cd "$1" && exec "$2" "$3" <0 3<3 4<4 6>6', "sh", tmp_path,
                           shells.named_sh(tmp_path, shell), launcher], capture_output=True)
    assert (done.stdout, done.stderr) == (b"on 0 on 3 on 4\n", b"")
    assert (tmp_path / "6").read_text() == "answer\n"


CUTS = {"qmail-dk-verify": ["trap", "SPDX", "case $0 in ", "exec \"$queue\"", "run=", "set --",
                            "limit="],
        "qmail-dk": ["trap", "unset", "done"]}


@pytest.mark.parametrize("name, after", [(name, after) for name in CUTS for after in CUTS[name]])
def test_a_launcher_that_is_cut_short(tmp_path, shell, name, after):
    """With exit code 0 the message would count as queued, or delivered, and be lost."""
    text = (rspawn.CHECKOUT / "launcher" / name).read_text()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "qmail_dk.py").touch()
    end = text.index("\n", text.index(after))
    launcher = tmp_path / "launcher"
    launcher.write_text(text[:end + 1].replace("@PROGRAM@", "/etc/passwd")
                        .replace("@PYTHON@", "/etc/passwd").replace("@PREFIX@", str(tmp_path)))
    done = subprocess.run([shells.named_sh(tmp_path, shell), launcher, "x"],
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode and not 11 <= done.returncode <= 40, done


@pytest.mark.parametrize("message", [SMALL, LARGE, UNSIGNED], ids=["small", "large", "unsigned"])
def test_a_launcher_that_loses_the_descriptor(tmp_path, message):
    """The program itself looks, before another file gets that number."""
    host = deliveries.Host(tmp_path)
    host.program("original", ORIGINAL)
    host.message.write_bytes(message)
    command = [rspawn.PYTHON, "-IS", "-X", "stderr=3", "-X", f"qmail={tmp_path}", rspawn.SCRIPT]
    result = rspawn.deliver(["sh", "-c", 'exec "$@" 2>/dev/null 3>&-', "sh", *command],
                            host.message, host.environment)
    assert result == ("K", b"on 2, on 1\n")
    assert host.sent.endswith(message) and (message is UNSIGNED or host.sent_signed())


# (which way, QMAILREMOTE, files of qmail's bin): what the original qmail-rspawn has for
# QMAILREMOTE, or None where it must not run, for it would bounce each message.
FALLS_BACK = {
    ("environment", "bin/qmail-remote-dk", "qmail-remote-dk"): "bin/qmail-remote-dk",
    ("environment", "prefix/qmail-remote", "qmail-remote-dk"): "bin/qmail-remote-dk",
    ("environment", "", "qmail-remote-dk"): "bin/qmail-remote-dk",
    ("environment", "bin/qmail-remote-dk", ""): None,
    ("environment", "bin/other", "qmail-remote-dk other"): "bin/other",
    ("wrap", "", "qmail-remote qmail-remote.launcher"): "bin/qmail-remote",
    ("wrap", "", "qmail-remote"): None,
    ("wrap", "bin/other", "qmail-remote qmail-remote.launcher"): "bin/qmail-remote",
    ("wrap", "other", "qmail-remote qmail-remote.launcher other"): "other",   # found in PATH
    ("wrap", "none", "qmail-remote qmail-remote.launcher"): "bin/qmail-remote",
}


@pytest.mark.parametrize("way, remote, files", FALLS_BACK, ids=str)
def test_qmail_rspawn_looks_before_it_falls_back(tmp_path, shell, way, remote, files):
    """Python is gone; descriptor 2 is closed, as qmail-start leaves it."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ["qmail-rspawn.orig", *files.split()]:
        (binaries / name).write_text('#!/bin/sh\necho "$QMAILREMOTE $(readlink /dev/fd/2)"\n')
        (binaries / name).chmod(0o755)
    launcher = tmp_path / "launcher"
    original = "qmail-remote.orig" if way == "wrap" else "qmail-remote"
    launcher.write_text((rspawn.CHECKOUT / "launcher" / "qmail-rspawn").read_text()
                        .replace("@QMAIL@", str(tmp_path)).replace("@PYTHON@", "/none/python")
                        .replace("@ORIGINAL@", f"{binaries}/{original}"))
    environment = {"PATH": f"{binaries}:{os.environ['PATH']}"}
    if remote:
        environment["QMAILREMOTE"] = f"{tmp_path}/{remote}" if "/" in remote else remote
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", shells.named_sh(tmp_path, shell),
                           launcher], env=environment, capture_output=True, text=True)
    expected = FALLS_BACK[way, remote, files]
    if expected is None:
        assert (done.returncode, done.stdout, done.stderr) == (111, "", "")
        return
    expected = f"{tmp_path}/{expected}" if "/" in expected else expected
    assert (done.returncode, done.stdout) == (0, f"{expected} /dev/null\n")


def test_qmail_rspawn_where_the_null_device_is_lost(tmp_path, shell):
    """No mail would move; 2 is closed, as qmail-start leaves it, and no other file may get it."""
    (tmp_path / "bin").mkdir()
    for name in "qmail-rspawn.orig", "qmail-remote.launcher":
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n"
                                             "command echo x >&2 || readlink /dev/fd/2\n")
        (tmp_path / "bin" / name).chmod(0o755)
    launcher = tmp_path / "launcher"
    launcher.write_text((rspawn.CHECKOUT / "launcher" / "qmail-rspawn").read_text()
                        .replace("@QMAIL@", str(tmp_path)).replace("@PYTHON@", "/none/python")
                        .replace("@ORIGINAL@", f"{tmp_path}/bin/qmail-remote.orig")
                        .replace("/dev/null", f"{tmp_path}/none/null"))
    (tmp_path / "commands").touch()
    with open(tmp_path / "commands", "rb") as commands:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" 2>&-', "sh", shells.named_sh(tmp_path, shell), launcher],
            env={"PATH": os.environ["PATH"]}, stdin=commands, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/commands\n")


@pytest.mark.slow
def test_as_the_hosts_sh(shell):
    if shell == "yash":
        pytest.skip("install.sh refuses it")
    done = subprocess.run(
        [*shells.over_sh(shell), sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         *(rspawn.CHECKOUT / "tests" / test for test in AS_BIN_SH)],
        cwd=rspawn.CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_shell_that_changes_addresses_is_refused(installed_host):
    installed_host.shell = [*shells.over_sh("yash"), "sh"]
    said = installed_host.refused("--sign")
    assert "changes bytes above 127 of an address" in said and "remedy: " in said
