# SPDX-License-Identifier: MIT
"""Publishing by dynamic updates (RFC 2136) of a name server, signed by a TSIG key (RFC 8945)."""

import ipaddress

from ...errors import PublishTrouble
from ...mail import address
from .. import check_packages
from . import tsig_key

PORT = "53"


class Nsupdate:
    """The publisher of DKPUBLISH=nsupdate:SERVER[#PORT] [KEYFILE].

    server: str, name or IP address; port: int; key_file: path, "" for updates without a
    signature, which a server may allow by address
    """

    by_itself = True

    def __init__(self, server, port, key_file):
        self.server = server
        self.port = port
        self.key_file = key_file

    def add(self, wanted):
        """Adds Records (list).  Raises PublishTrouble; those before the one it names are added."""
        updating = self.updating()
        for record in wanted:
            updating.add(record)
        return ""

    def remove(self, unwanted):
        """Removes Records (list).  Raises PublishTrouble."""
        updating = self.updating()
        for record in unwanted:
            updating.remove(record)
        return ""

    def updating(self):
        """Returns the update_message.Updating.  Raises PublishTrouble."""
        lacking = check_packages.flaws()
        if lacking:
            raise PublishTrouble(f"no updates can be sent: {lacking}; "
                                 f"remedy: {check_packages.REMEDY}")
        key = tsig_key.read(self.key_file) if self.key_file else None
        from .update_message import Updating        # only now: it needs the packages
        return Updating(self.server, self.port, key)


def from_words(words):
    """Returns the Nsupdate for the words behind "nsupdate:" (list of str), None if they are wrong.
    """
    if len(words) not in (1, 2) or not all(word.startswith("/") for word in words[1:]):
        return None
    server, mark, port = words[0].partition("#")
    port = port if mark else PORT
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        return None
    if not (is_address(server) or address.are_labels(server.encode("ascii", "replace"))):
        return None
    return Nsupdate(server, int(port), (words + [""])[1])


def is_address(text):
    """Returns whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
