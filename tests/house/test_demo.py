# SPDX-License-Identifier: MIT
"""`./install.sh demo`, from a copy of the checkout: what it shows, and how it fails."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.support import newcomer, shells
from tests.support.checkout import CHECKOUT
from tests.support.processes import is_running

PARTS = ("install.sh", "install/environment.sh", "requirements.txt", "qmail_remote_dk.py",
         "qmail_qfilter_verify.py", "demo", "launcher", "lib")


@pytest.fixture
def copy(tmp_path):
    return newcomer.Copy(tmp_path, PARTS)


@pytest.fixture
def ready(copy):
    copy.use_our_environment()
    return copy


def assert_shown(copy, result):
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for protocol in "dkim", "domainkeys":
        assert re.findall(rf"^{protocol}=pass header\.d=example\.com header\.s=demo\b",
                          result.stdout, re.MULTILINE)
    assert "=fail" not in result.stdout
    for text in ("DKIM-Signature: v=1; a=rsa-sha256;", "DomainKey-Signature: a=rsa-sha1;",
                 "Grüße aus Zürich, Bob!", "\n    .\n",
                 "Authentication-Results: mx.example.net;", "DomainKey-Status: good\n"):
        assert text in result.stdout
    assert os.listdir(copy.temporary) == []


def test_with_all_that_this_machine_has(ready, tmp_path):
    """PATH as it is: the real qmail-remote and Mail::DKIM, where they are installed."""
    ready.environment["PATH"] = os.environ["PATH"]
    result = ready.run("demo")
    assert_shown(ready, result)
    namespace = subprocess.run(
        ["sh", "-c", 'unshare --map-root-user --mount mount --bind "$0" "$0"', tmp_path],
        stderr=subprocess.DEVNULL).returncode == 0
    installed = os.access("/var/qmail/bin/qmail-remote", os.X_OK)
    assert ("a stand-in" in result.stdout) == (not (namespace and installed))


@pytest.mark.parametrize("shell", shells.NAMES)
def test_with_python_alone(ready, shell):
    """No qmail-remote within reach, no Perl, no network."""
    for tool in "printf", "[":      # some shells have none
        ready.add_tool(tool)
    result = ready.run("demo", shell=shells.named_sh(ready.directory.parent, shell))
    assert_shown(ready, result)
    assert "a stand-in" in result.stdout


def ordinary_user(directory):
    """-> (the command that becomes a user who is not root, a Python that he can run).

    Gives him directory, and the way to it.
    """
    become = []
    if os.getuid() == 0:
        become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for path, directories, files in os.walk(directory):
            for name in (".", *directories, *files):
                os.chown(os.path.join(path, name), 65534, 65534, follow_symlinks=False)
        for parent in list(directory.parents)[:-2]:
            parent.chmod(parent.stat().st_mode | 0o011)
    for python in os.path.realpath(sys.executable), "/usr/bin/python3":
        # setpriv itself still has root's way to files, what sh starts has not.
        probe = [*become, "sh", "-c", '"$0" -c "$1"', python,
                 "import ensurepip, sys; sys.exit(sys.version_info < (3, 9))"]
        if shutil.which(probe[0]) and not subprocess.run(
                probe, cwd="/", stderr=subprocess.DEVNULL).returncode:
            return become, python
    pytest.skip("no setpriv, or no Python that an ordinary user can run")


@pytest.mark.slow
def test_on_a_fresh_machine(copy):
    """Nothing of ours is there, no root and no HOME; needs a package index."""
    become, python = ordinary_user(copy.directory.parent)
    copy.environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(copy.temporary),
                        "PYTHON": python,
                        **{name: value for name, value in os.environ.items()
                           if name.startswith("PIP_")}}
    result = copy.run("demo", become=become)
    if "packages can't be installed" in result.stderr:
        pytest.skip("no package index within reach")
    assert_shown(copy, result)
    assert "==> Making a private environment" in result.stdout
    # Again, without a network: nothing is made or fetched.
    copy.environment.update(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=newcomer.UNREACHABLE)
    result = copy.run("demo", become=become)
    assert_shown(copy, result)
    assert result.stdout.startswith("==> Key")


# What the wire does to the message, and what is said of it.
TAMPERING = {
    "body": (b"Bob!", b"Rob!", "what arrived is not what was sent"),
    "DKIM body hash": (b"bh=", b"bh=AAAA", "dkim=fail"),
    "DKIM h=": (b":Subject:", b":", "dkim=fail"),
    "DomainKeys": (b"c=nofws;", b"c=simple;", "domainkeys=fail"),
    "no DKIM": (b"DKIM-Signature:", b"X-Other:", "dkim=none"),
    "no DomainKeys": (b"DomainKey-Signature:", b"X-Other:", "domainkeys=none"),
}


@pytest.mark.parametrize("name", TAMPERING)
@pytest.mark.parametrize("with_perl", [True, False], ids=["perl", "no-perl"])
def test_tampering_shows(ready, name, with_perl):
    old, new, said = TAMPERING[name]
    if with_perl:
        ready.add_tool("perl")
    ready.edit("demo/qmail_remote_stand_in.py", "sys.stdin.buffer.read()",
               f"sys.stdin.buffer.read().replace({old!r}, {new!r}, 1)")
    result = ready.run("demo")
    assert result.returncode == 1
    assert result.stderr.startswith("demo: ") and said in result.stderr
    assert "Done" not in result.stdout
    assert os.listdir(ready.temporary) == []


def test_failed_delivery_shows(ready):
    ready.edit("demo/smtp_sink.py", "250 2.0.0 kept", "554 5.7.1 unwanted")
    result = ready.run("demo")
    assert result.returncode == 1
    assert "demo: the message was not delivered" in result.stderr
    assert "554 5.7.1 unwanted" in result.stderr
    assert os.listdir(ready.temporary) == []


def test_refusal_by_the_recipients_server_shows(ready):
    ready.edit("demo/receipt.py", '"DEGIJKfh"', '"A"')
    result = ready.run("demo")
    assert result.returncode == 1
    assert "demo: the verifier has not accepted the message: exit code 31" in result.stderr
    assert os.listdir(ready.temporary) == []


def test_termination_leaves_nothing(ready, tmp_path):
    """SIGTERM while the delivery hangs: its process ends too, and no file stays."""
    pid_file = tmp_path / "pid"
    ready.edit("demo/qmail_remote_stand_in.py", "    message = sys.stdin.buffer.read()\n",
               f"    open({str(pid_file)!r}, 'w').write(str(os.getpid()) + '\\n')\n"
               "    import time; time.sleep(300)\n")
    process = subprocess.Popen([str(ready.directory / "install.sh"), "demo"],
                               env=ready.environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    assert os.listdir(ready.temporary) != []
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=120)[1] == b""
    assert process.returncode == 128 + signal.SIGTERM
    assert os.listdir(ready.temporary) == []
    hanging = int(pid_file.read_text())
    wait_for(lambda: not is_running(hanging))


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


MISUSE = {
    ("demonstrate",): "unknown verb: demonstrate",
    ("demo", "--fast"): "demo takes no arguments",
}


@pytest.mark.parametrize("arguments", MISUSE, ids=str)
def test_misuse(copy, arguments):
    result = copy.run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (f"install.sh: {MISUSE[arguments]}; ./install.sh help shows the "
                             "usage\n")


def test_help(copy):
    result = copy.run("help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "usage: ./install.sh [VERB]" in result.stdout


OLD_PYTHON = """#!/bin/sh
case $1 in
--version) echo Python 3.6.15 ;;
*) exit 1 ;;
esac
"""
MISSING = {
    "no Python": ({}, "no python3 in PATH; remedy on Debian and Ubuntu: "
                  "apt-get install python3-venv"),
    "old Python": ({"python3": OLD_PYTHON}, "found only: python3 (Python 3.6.15)"),
    "no ensurepip": ({"python3": newcomer.INCOMPLETE_PYTHON}, "apt-get install python3-venv"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(copy, name):
    programs, said = MISSING[name]
    for program, text in programs.items():
        copy.add_program(program, text)
    result = copy.run("demo")
    assert result.returncode == 1
    assert result.stderr.startswith("install.sh: ") and said in result.stderr
    assert result.stderr.count("\n") == 1 and "remedy" in result.stderr
    assert not (copy.directory / ".venv").exists()


def test_unreachable_package_index(copy):
    copy.environment["PYTHON"] = os.path.realpath(sys.executable)
    result = copy.run("demo")
    assert result.returncode == 1
    assert "install.sh: the packages can't be installed" in result.stderr
    assert "remedy" in result.stderr
    assert not (copy.directory / ".venv").exists()


# Makes a directory read-only for a command and its children.
READ_ONLY = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$1" && '
             'mount -o remount,ro,bind "$1" && shift && exec "$@"', "sh"]


@pytest.mark.parametrize("shell", shells.NAMES)
def test_a_checkout_that_is_read_only(copy, shell):
    """Root has every right to it, and some shells believe that he can use it."""
    if os.getuid() or subprocess.run([*READ_ONLY, copy.directory, "true"],
                                     capture_output=True).returncode:
        pytest.skip("needs root, unshare and a mount namespace")
    copy.environment["PYTHON"] = os.path.realpath(sys.executable)
    for tool in "unshare", "mount", "printf", "[":     # some shells have no printf
        copy.add_tool(tool)
    result = copy.run("demo", become=[*READ_ONLY, copy.directory],
                      shell=shells.named_sh(copy.directory.parent, shell))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"install.sh: no permission to change {copy.directory}; remedy: run "
                             "this as its owner, in a copy of your own if it is read-only\n")


def test_an_environment_of_another_user(copy):
    """The owner has run an older version, say, and the user has no right to add to that."""
    become, python = ordinary_user(copy.directory.parent)
    if not become:
        pytest.skip("needs root")
    copy.add_tool(become[0])
    environment = copy.directory / ".venv"
    (environment / "bin").mkdir(parents=True)
    # It has pip, and lacks packages.
    (environment / "bin" / "python").write_text(f"""#!/bin/sh
        case $* in
        *--no-index*) exit 1 ;;
        *"-m pip"*) exit 0 ;;
        *) exec {python} "$@" ;;
        esac
    """)
    (environment / "bin" / "python").chmod(0o755)
    result = copy.run("demo", become=become)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"install.sh: no permission to change {environment}; remedy: ")
    assert [path.name for path in environment.iterdir()] == ["bin"]


def test_shellcheck():
    subprocess.run([*shells.shellcheck(), *shells.SCRIPTS], cwd=CHECKOUT, check=True)
