# SPDX-License-Identifier: MIT
"""Publishing by a program of the administrator's, which may talk to a provider."""

from ...errors import PublishTrouble
from . import command


class Program:
    """The publisher of DKPUBLISH=run:PROGRAM.  arguments: list of str, the program's path first

    It is called once for each record, with add or remove, the name, the TTL and the
    text behind its own arguments.
    """

    by_itself = True

    def __init__(self, arguments):
        self.arguments = arguments

    def add(self, wanted):
        """Lets the program add Records.  Raises PublishTrouble; those before it are added."""
        return self.call("add", wanted)

    def remove(self, unwanted):
        """Lets the program remove Records.  Raises PublishTrouble."""
        return self.call("remove", unwanted)

    def call(self, verb, entries):
        program = self.arguments[0]
        for entry in entries:
            try:
                failed = command.run([*self.arguments, verb, entry.name, str(entry.ttl),
                                      entry.text])
            except OSError as error:
                raise PublishTrouble(
                    f"unable to run {program}, which DKPUBLISH names: {error.strerror}; remedy: "
                    "see that it is there, is executable and begins with #!") from error
            if failed:
                raise PublishTrouble(f"{program} {verb} {entry.name}: {failed}; remedy: run it by "
                                     "hand to see more; qmail-dk calls it again")
        return ""
