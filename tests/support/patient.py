# SPDX-License-Identifier: MIT
"""Runs a program of ours with longer time limits, for tests on a busy machine.

usage: patient.py PROGRAM [ARGUMENT ...]

The resident verifier and its clients wait one second for each other; after that, a
message is verified without it.  This is right for mail, but not for tests of the
server's answers.
"""

import os
import runpy
import sys

PATIENCE = 100          # seconds; less than resident.LONGEST_WAIT


def be_patient(server):
    """Extends the time limits of this process.  server: whether it is a server or a client."""
    from lib.verifying import exchange
    exchange.PATIENCE = PATIENCE
    if server:
        from lib.verifyd import prefork, server as resident_verifier
        prefork.LONGEST = PATIENCE
        # Tests wait half of this for names that no server answers for.
        resident_verifier.DNS_SECONDS = 6


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    del sys.argv[0]
    be_patient(sys.argv[0].endswith("verifyd.py"))
    runpy.run_path(sys.argv[0], run_name="__main__")
