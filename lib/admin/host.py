# SPDX-License-Identifier: MIT
"""The host that qmail-dk examines: its installation, its running qmail and its settings."""

import functools
import os
import sys
from typing import NamedTuple

from ..errors import SettingTrouble
from ..settings import Settings, without_waiting
from . import running

# Directory of the release to examine: this one, unless install.sh status names another.
PREFIX = sys._xoptions.get("release") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RECORD = os.path.join(PREFIX, "installed")
LAST_RECORDED = "last_environment"      # the name in its last line
BY_ENVIRONMENT = "QMAILREMOTE"      # as Installation.remote: notqmail reads this variable


class Installation(NamedTuple):
    """The record that install.sh wrote; all str, "" if there is none.

    qmail: qmail's home; python: the signer's interpreter
    remote: path where the launcher replaced qmail-remote, or BY_ENVIRONMENT, or the
    launcher's own path while signing is off
    launcher: path that QMAILREMOTE is to have, or of the launcher under the prefix
    original: qmail's own qmail-remote; queue_original: its own qmail-queue, if replaced
    verify: "yes" if the verifier is prepared
    rspawn: path where the resident signer replaced qmail-rspawn
    service: the starter of the resident verifier: "systemd", a scanned directory or "none"
    start_script: the script that sets QMAILREMOTE; assignment: the text that does so
    """
    qmail: str
    remote: str
    launcher: str
    original: str
    python: str
    verify: str
    queue_original: str
    rspawn: str
    service: str
    start_script: str = ""
    assignment: str = ""

    @property
    def is_off(self) -> bool:
        """Whether signing is prepared but not switched on."""
        return self.remote == self.launcher


class Host:
    """Gives the verbs and the checks what they need to know about this host.

    settings: as deliveries have them, but this process's environment overrides them,
    so that changes can be tried
    running: running.Rspawn of the running qmail, or None
    installation: Installation that install.sh recorded, or None; it is read at the first
    use, because commands about keys need no record.  Raises SettingTrouble.
    """

    def __init__(self, settings: Settings, running: "running.Rspawn | None" = None):
        self.settings = settings
        self.running = running

    @functools.cached_property
    def installation(self) -> "Installation | None":
        return recorded()

    @property
    def environment(self) -> "dict[str, str]":
        """The environment of the running qmail-rspawn, empty if none runs."""
        return self.running.environment if self.running else {}


class ThisHost(Host):
    """This host in its present state.  What is not needed is not looked for."""

    def __init__(self):
        pass

    @functools.cached_property
    def running(self) -> "running.Rspawn | None":   # type: ignore[override]
        return running.rspawn()

    @functools.cached_property
    def settings(self) -> Settings:                 # type: ignore[override]
        return Settings({**self.environment, **os.environ})


def this_host() -> Host:
    return ThisHost()


def recorded(path: str = RECORD) -> "Installation | None":
    """Returns the Installation that install.sh recorded, None if there is no record.

    Raises SettingTrouble if it can't be read, or has no end: a full disk, or half a backup,
    cuts files short.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", opener=without_waiting) as file:
            values = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingTrouble(f"unable to read {path}: {error.strerror}") from error
    if LAST_RECORDED not in values:
        raise SettingTrouble(f"{path} is cut short; remedy: run ./install.sh")
    return Installation(*(values.get(name, "") for name in Installation._fields))
