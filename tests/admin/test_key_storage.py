# SPDX-License-Identifier: MIT
"""Keys beside other processes and after killed ones: none is lost, none half readable."""

import contextlib
import io
import os
import posix
import random
import re
import shutil
import subprocess
import time

import pytest

from lib import qmail_dk
from lib.admin import key_places, key_storage
from lib.admin.host import Host
from lib.errors import RequestTrouble
from lib.settings import Settings
from tests.support import fault_keys, fault_sweep
from tests.support.administrator import DOMAIN, GROUP, admin, make_next, records      # noqa: F401

SAMPLE = 16             # faults of each command; tests/faults --only keys tries all
RACES = int(os.environ.get("RACES", "3"))      # of each kind
AT_ONCE = 6


def contents(admin):
    return fault_keys.private_keys(admin.keys)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
def test_all_that_leads_to_a_new_key_is_flushed(admin, monkeypatch):
    """Else a power failure may take a key whose record has been published."""
    flushed = set()
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.add(os.readlink(f"/proc/self/fd/{fd}")))
    key_places.make_next(
        lambda: key_places.Place(DOMAIN, admin.environment["DKSIGN"]), DOMAIN,
        admin.environment["DKSIGN"], "ed25519", 0, "s1", GROUP)
    assert {str(admin.directory), str(admin.keys), str(admin.keys / DOMAIN)} < flushed


@pytest.mark.slow
@pytest.mark.skipif(not fault_sweep.can_trace(), reason="strace is missing or not allowed")
def test_faults(tmp_path):
    with fault_keys.KeyCommands(tmp_path) as subject:
        everything = fault_sweep.faults(subject)
    killed = [fault for fault in everything if fault.error == fault_sweep.KILLED]
    chosen = []
    for place in subject.places:
        for kind, most in ((everything, SAMPLE), (killed, SAMPLE)):
            of_place = [fault for fault in kind if fault.where == place]
            chosen += random.sample(of_place, most // 2) + random.sample(of_place[-80:], most // 2)
    outcomes, wrong = fault_sweep.sweep(fault_keys.KeyCommands, tmp_path, chosen)
    assert not wrong
    assert sum(outcomes.values()) == len(chosen)


@pytest.mark.skipif(not fault_sweep.can_trace(), reason="strace is missing or not allowed")
@pytest.mark.parametrize("spoil", [
    lambda path: path.unlink(), lambda path: path.write_bytes(b"rubbish"),
    lambda path: path.chmod(0o600), lambda path: path.parent.chmod(0o700)],
    ids=["lost", "damaged", "unreadable", "closed"])
def test_what_goes_wrong_is_seen(tmp_path, spoil):
    with fault_keys.KeyCommands(tmp_path) as subject:
        subject.run("rotate", None)
        assert fault_keys.flaw(subject.admin.keys, subject.before, True) is None
        spoil(subject.directory / "s1")
        assert fault_keys.flaw(subject.admin.keys, subject.before, True)


def several(admin, *command):
    """Runs a command several times at once -> the exit codes, sorted, and what was written."""
    processes = [subprocess.Popen([admin.command, *command], env=admin.environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                 for _ in range(AT_ONCE)]
    done = [(*process.communicate(), process.returncode) for process in processes]
    assert all(len(errors.splitlines()) == bool(code) for _, errors, code in done), done
    return sorted(code for _, _, code in done), done


@pytest.mark.parametrize("selector", ["default", "s1"], ids=["file", "link"])
@pytest.mark.parametrize("number", range(RACES))
def test_activated_by_many_at_once(admin, selector, number):
    """One does it, the others say that there is nothing left to do."""
    admin.keygen(selector, "--type", "ed25519")
    make_next(admin, "--selector", "s2", "--type", "ed25519")
    before = contents(admin)
    codes, done = several(admin, "rotate", DOMAIN, "--activate", "--force", "--type", "ed25519")
    assert codes == [0] + [100] * (AT_ONCE - 1), done
    assert contents(admin) == before
    directory = admin.keys / DOMAIN
    assert os.readlink(directory / "default") == "s2"
    output = admin.succeed("rotate", DOMAIN, "--retire", "--type", "ed25519")
    assert f"{selector}._domainkey.{DOMAIN} must stay" in output
    command = output.partition("rm ")[2].split()
    assert str(directory / "s2") not in command and str(directory / "default") not in command


@pytest.mark.parametrize("number", range(RACES))
def test_made_by_many_at_once(admin, number):
    """Where there was no directory yet, too."""
    for command in ("keygen", "rotate"):
        codes, done = several(admin, command, DOMAIN, "--group", GROUP, "--type", "ed25519")
        assert codes == [0] + [100] * (AT_ONCE - 1), done
        (printed,) = [records(output) for output, _, code in done if not code]
        printed.pop(f"_domainkey.{DOMAIN}", None)       # beside the first key
        (name,) = printed
        shown = records(admin.succeed("dns", DOMAIN))
        assert shown[name] == printed[name]
        assert fault_keys.flaw(admin.keys, set(), False) is None
        assert len(contents(admin)) == (1 if command == "keygen" else 2)
        admin.succeed("rotate", DOMAIN, "--activate", "--force", "--type", "ed25519")


def test_one_waits_for_the_other(admin, monkeypatch):
    admin.keygen()
    directory = admin.keys / DOMAIN
    with key_storage.lock(directory):
        monkeypatch.setattr(key_storage, "LONGEST_WAIT", 0.1)
        with pytest.raises(RequestTrouble, match="another qmail-dk is at work"):
            key_storage.open_locked(directory)
        process = subprocess.Popen([admin.command, "rotate", DOMAIN, "--group", GROUP],
                                   env=admin.environment, stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        assert process.poll() is None and not (directory / "default.next").exists()
    assert process.wait() == 0


ED25519 = ("--type", "ed25519")
KEYGEN = ("keygen", DOMAIN, "--group", GROUP, *ED25519)
ROTATE = ("rotate", DOMAIN, "--group", GROUP, *ED25519)
ACTIVATE = ("rotate", DOMAIN, "--activate", "--force", *ED25519)
RETIRE = ("rotate", DOMAIN, "--retire", *ED25519)
REMOVE = ("remove", DOMAIN)
SECOND, THIRD = (*ROTATE, "--selector", "s2"), (*ROTATE, "--selector", "s3")


def first(selector):
    return (*KEYGEN, "--selector", selector)


# What is there -> the commands that made it.
KEYS = {
    "no key": lambda selector: [],
    "first": lambda selector: [first(selector)],
    "next": lambda selector: [first(selector), ACTIVATE, SECOND],
    "former": lambda selector: [first(selector), ACTIVATE, SECOND, ACTIVATE],
}
BESIDE = [("no key", KEYGEN, KEYGEN), ("first", KEYGEN, ACTIVATE), ("next", ACTIVATE, ACTIVATE),
          ("next", ACTIVATE, THIRD), ("next", THIRD, ACTIVATE), ("next", RETIRE, ACTIVATE),
          ("next", ("dns", DOMAIN), ACTIVATE), ("former", THIRD, RETIRE), ("former", RETIRE, THIRD),
          ("next", REMOVE, ACTIVATE), ("next", ACTIVATE, REMOVE), ("former", THIRD, REMOVE)]


BEFORE = 0
LOOKS = 6               # to try of each two commands; with more RACES all


def verb(command):
    return " ".join(word for word in command
                    if word in ("keygen", "rotate", "remove", "dns", "--activate", "--retire"))


class Beside:
    """A command in this process; before one of its looks at the keys another gets its chance.

    look: the number of that look, or BEFORE the first; where there are fewer, after the command
    """

    def __init__(self, admin, monkeypatch, command, other, look):
        self.admin, self.other, self.look, self.process = admin, other, look, None
        with monkeypatch.context() as patched:
            for module, name in ((os, "lstat"), (os, "stat"), (posix, "readlink")):
                patched.setattr(module, name, self.looking(getattr(module, name)))
            self.said = io.StringIO()
            if look == BEFORE:
                self.start()
                self.process.wait()
            with contextlib.redirect_stdout(self.said):
                self.code = self.run(command)
        if self.process is None:
            self.start()
        self.other_said = self.process.communicate()[0]

    def run(self, command):
        """The exit code; whatever is not meant to happen is raised."""
        options = qmail_dk.parser().parse_args(command)
        settings = Settings(self.admin.environment, str(self.admin.control))
        try:
            return options.verb(options, Host(settings))
        except RequestTrouble:
            return 100

    def looking(self, look):
        def look_later(path, *arguments, **options):
            if os.fsdecode(path).startswith(str(self.admin.keys)):
                self.look -= 1
                if not self.look:
                    self.start()
            return look(path, *arguments, **options)
        return look_later

    def start(self):
        """Starts the other, and waits until it has ended, or waits for the lock."""
        self.process = subprocess.Popen(
            [self.admin.command, *self.other], env=self.admin.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        seen = 0
        while self.process.poll() is None and seen < 10:
            time.sleep(0.01)
            with contextlib.suppress(OSError):
                opened = f"/proc/{self.process.pid}/fd"
                seen += any(os.readlink(f"{opened}/{fd}").startswith(str(self.admin.keys))
                            for fd in os.listdir(opened))

    def outcome(self, before):
        """Exit codes, names in the directory, and which keys are printed by commands that print."""
        names = {path.name: os.readlink(path) if path.is_symlink() else path.read_bytes() in before
                 for path in (self.admin.keys / DOMAIN).iterdir()}
        return self.code, self.process.returncode, names, [
            sorted(records(said)) or re.findall(r"^1\. .*domainkey|rm .*", said, re.M)
            for said in (self.said.getvalue(), self.other_said)]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("selector", ["default", "s1"], ids=["file", "link"])
@pytest.mark.parametrize("there, command, other", BESIDE,
                         ids=[" ".join(map(verb, case[1:])) for case in BESIDE])
def test_between_two_looks(admin, monkeypatch, there, command, other, selector):
    """Whenever another command comes, the end is that of one after the other."""
    for number in KEYS[there](selector):
        admin.succeed(*number)
    kept = admin.directory / "kept"
    if admin.keys.exists():
        shutil.copytree(admin.keys, kept, symlinks=True)
    before = contents(admin)

    def beside(look):
        shutil.rmtree(admin.keys, ignore_errors=True)
        if kept.exists():
            shutil.copytree(kept, admin.keys, symlinks=True)
        run = Beside(admin, monkeypatch, command, other, look)
        assert before <= contents(admin)
        return run.look, run.outcome(before)

    legal = [beside(BEFORE)[1]]
    never = 10**6
    left, outcome = beside(never)
    legal.append(outcome)
    looks = range(1, never - left + 1)
    for look in looks if len(looks) < LOOKS or RACES > 3 else random.sample(looks, LOOKS):
        outcome = beside(look)[1]
        assert outcome in legal, f"before look {look} of {len(looks)}"
