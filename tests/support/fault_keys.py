# SPDX-License-Identifier: MIT
"""keygen, rotate and remove as a subject of the fault sweep.

Whatever fails, and wherever they are killed, each private key that existed still
exists; each file with a key's name is a whole key with its group and mode; the
group can enter each directory; the old or the new key signs, unless the domain is
removed; and the next run succeeds as if nothing had happened.
"""

import os
import shutil
import stat

from lib import crypto
from lib.admin import key_storage
from lib.errors import KeyTrouble
from tests.support.administrator import DOMAIN, GROUP, Administrator
from tests.support.fault_sweep import Subject

OPTIONS = ("--type", "ed25519")     # takes no time to make, unlike RSA
TO_MAKE = (*OPTIONS, "--group", GROUP)

# {place: (the commands before, the command under test)}
COMMANDS = {
    "keygen": ([], ("keygen", DOMAIN, *TO_MAKE)),
    "rotate": ([("keygen", DOMAIN, "--selector", "s1", *TO_MAKE),
                ("rotate", DOMAIN, "--activate", "--force", *OPTIONS)],
               ("rotate", DOMAIN, *TO_MAKE)),
    "activate": ([("keygen", DOMAIN, "--selector", "s1", *TO_MAKE),
                  ("rotate", DOMAIN, "--activate", "--force", *OPTIONS),
                  ("rotate", DOMAIN, "--selector", "s2", *TO_MAKE)],
                 ("rotate", DOMAIN, "--activate", "--force", *OPTIONS)),
    # The key that signs is a file with the pattern's own name, not a link.
    "activate file": ([("keygen", DOMAIN, "--selector", "default", *TO_MAKE),
                       ("rotate", DOMAIN, "--activate", "--force", *OPTIONS),
                       ("rotate", DOMAIN, "--selector", "s2", *TO_MAKE)],
                      ("rotate", DOMAIN, "--activate", "--force", *OPTIONS)),
    "remove": ([("keygen", DOMAIN, "--selector", "s1", *TO_MAKE),
                ("rotate", DOMAIN, "--activate", "--force", *OPTIONS),
                ("rotate", DOMAIN, "--selector", "s2", *TO_MAKE)], ("remove", DOMAIN)),
}


class KeyCommands(Subject):
    """The commands that change keys."""

    places = tuple(COMMANDS)

    def __init__(self, directory):
        super().__init__(directory)
        self.admin = Administrator(directory)
        self.directory = self.admin.keys / DOMAIN
        self.first = dict.fromkeys(self.places, str(self.admin.keys))
        self.prepared = {}
        for place, (commands, _) in COMMANDS.items():
            self.empty()
            for command in commands:
                self.admin.succeed(*command)
            kept = directory / "prepared" / place
            if commands:
                shutil.copytree(self.admin.keys, kept, symlinks=True)
            self.prepared[place] = kept

    def empty(self):
        shutil.rmtree(self.admin.keys, ignore_errors=True)

    def run(self, where, options):
        self.empty()
        if self.prepared[where].exists():
            shutil.copytree(self.prepared[where], self.admin.keys, symlinks=True)
        self.before = private_keys(self.admin.keys)
        return self.admin.run(*COMMANDS[where][1], command=self.strace(options)
                              if options is not None else ())

    def judge(self, fault):
        done = self.run(fault.where, fault.injection)
        signs = "activate" in fault.where or fault.where == "rotate"
        for check in (lambda: flaw(self.admin.keys, self.before, signs),
                      lambda: self.goes_on(fault, done.returncode == 0),
                      lambda: flaw(self.admin.keys, self.before, signs)):
            found = check()
            if found:
                return f"wrong: {found}; {done}"
        return "done" if done.returncode == 0 else (
            "killed" if done.returncode < 0 else "refused")

    def goes_on(self, fault, was_done):
        """Runs the command again.  Returns what is wrong with that, or None."""
        after = private_keys(self.admin.keys)
        done = self.admin.run(*COMMANDS[fault.where][1])
        if done.returncode and not (was_done or self.is_there(fault)):
            return f"the next run: {done}"
        if not after <= private_keys(self.admin.keys):
            return "the next run took a private key away"
        left = [path for path in self.admin.keys.rglob("*")
                if path.name.startswith(key_storage.TEMPORARY)]
        if left and not done.returncode:
            return f"the next run left {left}"
        if not self.is_there(fault):
            return "the next run did nothing"
        if fault.where == "keygen" and len(os.listdir(self.directory)) != 2:
            return f"not a key and a link: {os.listdir(self.directory)}"
        return None

    def is_there(self, fault):
        """Returns whether the command has taken effect."""
        if "activate" in fault.where:
            return os.path.realpath(self.directory / "default") == str(
                (self.directory / "s2").resolve())
        if fault.where == "remove":
            links = {path.name: os.readlink(path) for path in self.directory.iterdir()
                     if path.is_symlink()}
            names = ["default.removed"]
            if fault.error == "EACCES":     # that name may be taken then, and the other one serves
                names.append("default.former")
            return links in [{name: "s1", "default.unused": "s2"} for name in names]
        return (self.directory / "default.next").exists()


def private_keys(directory):
    """Returns the contents of all private key files below a directory, set of bytes."""
    found = set()
    for path in directory.rglob("*"):
        if path.is_file() and not path.name.startswith(key_storage.TEMPORARY):
            found.add(path.read_bytes())
    return found


def flaw(keys, before, signs):
    """Returns what is wrong with a tree of keys, or None.

    before: the private keys that existed before; signs: whether one must sign
    """
    if not before <= private_keys(keys):
        return "a private key has gone"
    for path in keys.rglob("*") if keys.exists() else ():
        state = path.lstat()
        mode = stat.S_IMODE(state.st_mode)
        if path.name.startswith(key_storage.TEMPORARY) or path.is_symlink():
            continue
        if path.is_dir():
            if (mode, state.st_gid) != (0o750, os.getgid()):
                return f"{path} has mode {mode:o}"
            continue
        if (mode, state.st_gid) != (0o640, os.getgid()):
            return f"{path} has mode {mode:o}"
        try:
            crypto.load_private_key(path.read_bytes())
        except KeyTrouble as trouble:
            return f"{path}: {trouble}"
    if keys.exists() and stat.S_IMODE(keys.stat().st_mode) != 0o755:
        return f"{keys} has mode {keys.stat().st_mode:o}"
    if signs and not (keys / DOMAIN / "default").is_file():
        return "no key signs"
    return None
