# SPDX-License-Identifier: MIT
"""Brings a domain's keys to the other hosts that send its mail, as DKSYNC says.

The next key gets to all of them before it signs anywhere, and the change of links
once it signs here.  Until then the others sign with the old key.  A file beside the
links, key_places.UNSYNCED, is there from before a change until all hosts have it:
a later run goes on, and the record of no key is withdrawn before.

The program runs without the directory's lock, since it may take minutes.  So another
command may change the directory meanwhile, and run the program as well: then the older one
may undo on the other hosts what the newer one did.  Each change leaves another text in the
file, and the file goes only with the text that was there before the program ran.  If
rotate --due is killed, nobody sees that, so its program keeps the lock of --due until it ends.
"""

import contextlib
import os

from ..errors import RequestTrouble, SettingTrouble, Trouble
from . import key_storage, rotation
from .key_places import UNSYNCED
from .key_storage import is_there
from .publishing import command

LONGEST = 600       # seconds that a program may take, for one domain
ATTEMPTS = 2        # to bring a directory that others change meanwhile


class Distribution:
    """Runs the program of DKSYNC.  settings: settings.Settings

    inherited: descriptors that stay open in it, a list
    Raises SettingTrouble, but looks at no file except the control file.
    """

    def __init__(self, settings):
        self.arguments = arguments(settings["DKSYNC"])
        self.inherited = []

    def bring(self, place):
        """Brings the directory of a key_places.Place to the other hosts.  Raises Trouble."""
        if not self.arguments:
            return
        program = self.arguments[0]
        try:
            failed = command.run([*self.arguments, place.directory], inherited=self.inherited,
                                 seconds=LONGEST)
        except OSError as error:
            raise Trouble(f"unable to run {program}, which DKSYNC names: {error.strerror}; remedy: "
                          "see that it is there, is executable and begins with #!") from error
        if failed:
            raise Trouble(f"DKSYNC could not bring {place.directory} to the other hosts: "
                          f"{program}: {failed}; remedy: run it by hand to see more; qmail-dk "
                          "rotate --due calls it again")

    def announce(self, place):
        """Notes that the other hosts lack a change to the links of a Place.  Raises OSError.

        Call it before the change, and let go of the directory's lock only after that.
        """
        if self.arguments:
            with open(place.path + UNSYNCED, "ab") as file:
                file.write(os.urandom(8))

    def settle(self, place):
        """Brings a noted change to the other hosts.  Raises Trouble: then it stays noted.

        The others sign with a former key until now, so its time begins anew.
        """
        if not is_unsettled(place):
            return
        with contextlib.suppress(FileNotFoundError):
            for _ in range(ATTEMPTS):
                with key_storage.lock(place.directory):     # no change is half made
                    before = note(place)
                self.bring(place)
                with key_storage.lock(place.directory):
                    if note(place) == before:
                        self.end(place)
                        return
                    self.announce(place)
            raise RequestTrouble(f"other commands change {place.directory} while DKSYNC brings it "
                                 "to the other hosts; qmail-dk rotate --due does it again")

    def end(self, place):
        """Takes the note of a Place away, all of whose links the other hosts have."""
        if self.arguments:
            for suffix in rotation.leaving(place):
                rotation.touch(place.path + suffix)
        os.unlink(place.path + UNSYNCED)

    def activate(self, place, key):
        """Makes a next key sign, on all hosts.  Returns its SigningKey.

        key: as the caller has checked it.  Raises Trouble, OSError, and then the old key
        signs everywhere; the caller calls settle() next.
        """
        self.bring(place)
        try:
            return rotation.activate(place, key, self.announce)
        except RequestTrouble:      # changed meanwhile, and that may be undone on other hosts
            with contextlib.suppress(FileNotFoundError):
                self.announce(place)
            raise


def note(place):
    """Returns the text of a Place's note of changes that other hosts lack, bytes.

    It is None if all have been brought there.  Raises OSError.
    """
    try:
        with open(place.path + UNSYNCED, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def is_unsettled(place):
    """Returns whether another host may lack a change to the keys of a Place."""
    return is_there(place.path + UNSYNCED)


def arguments(value):
    """Returns the program that DKSYNC names and its arguments, list of str, [] for none.

    Raises SettingTrouble.
    """
    kind, _, rest = value.partition(":")
    if value == "none":
        return []
    if kind == "run" and rest.startswith("/") and rest.isprintable():
        return rest.split()
    raise SettingTrouble(f"DKSYNC: {value!r} is neither none nor run:PROGRAM [ARGUMENT ...], where "
                         "PROGRAM begins with /")
