# SPDX-License-Identifier: MIT
"""The parts of five programs, and the modules that they share.

  doors      qmail_remote_dk.py and qmail_qfilter_verify.py beside lib/; here
             qmail_dk, qmail_rspawn, qmail_dk_verifyd
  wings      signing, verifying, rspawn, verifyd, admin: one for each door; admin has
             rooms of its own: admin.publishing (records that get into the DNS by a
             program), admin.reports (DMARC) and admin.log
  shared     mail, crypto, lookup, qmail
  ground     errors, settings, process, maillog, packages, c_library, growth

A wing imports shared wings and the ground; of the shared wings, lookup imports mail,
and mail imports nothing else of lib.  rspawn builds on signing, verifyd on verifying;
signing and verifying never import each other, and only its door imports rspawn,
verifyd or admin.  tests/house/test_layers.py holds these rules.

A program that signs runs once per delivery, and one that verifies once per message,
also beside the resident verifier.  So both import nothing that costs milliseconds
(os, re, dataclasses, typing, email, logging, dns, dkim) until a message needs it:
posix has the calls that os passes on, small records are classes with __slots__ or
plain tuples, described where they are made, and docstrings give the types.
"""

import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import SourceFileLoader

__version__ = "0.1"

DIRECTORY = __path__[0]
PACKAGES = {"lib." + wing for wing in (
    "admin", "admin.log", "admin.publishing", "admin.reports", "crypto", "lookup", "mail",
    "qmail", "rspawn", "signing", "verifyd", "verifying")}


class Modules:
    """Finds the modules of lib by their names alone (a finder for sys.meta_path).

    importlib's own finder lists the directory of each wing and tries the suffixes of
    C modules: 2.5 % of the CPU time of a signed message.  The loader is importlib's,
    so compiled files are used, and stale ones replaced, as for all modules.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Returns the ModuleSpec of a module of lib, or None if it is not one or not there."""
        if name[:4] != "lib.":
            return None
        is_package = name in PACKAGES
        place = DIRECTORY + name[3:].replace(".", "/")
        file = place + ("/__init__.py" if is_package else ".py")
        try:
            posix.stat(file)
        except OSError:
            return None     # importlib says what is missing
        spec = ModuleSpec(name, SourceFileLoader(name, file), origin=file, is_package=is_package)
        spec.has_location = True        # the module gets __file__ and __cached__
        if is_package:
            spec.submodule_search_locations = [place]
        return spec


# Before the finder of files, behind the hooks of whoever instruments modules.
sys.meta_path.insert(-1, Modules)
