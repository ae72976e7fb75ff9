# SPDX-License-Identifier: MIT
"""qmail-dk-verifyd, the resident verifier: verifies for qmail_qfilter_verify.py.

The launcher runs it as a script, under a supervisor such as daemontools or systemd.  It
stays in the foreground and logs to descriptor 2.  It is started as root, because only
root can create the socket where no other user can replace it.  It loads everything, and
then its processes run as --user.
"""

import argparse
import gc
import os
import pwd
import socket
import stat
import sys

if __name__ == "__main__":
    # Under -I, Python does not search the script's directory for modules.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import maillog
from lib.errors import SettingTrouble, Trouble
from lib.settings import Settings
from lib.verifyd import prefork, server

TROUBLE = 111

WAITING = 64            # connections that wait for a worker; more are refused at once


def main(arguments):
    """Runs the server.  Returns the exit code.  arguments: list of str"""
    parser = argparse.ArgumentParser(
        prog="qmail-dk-verifyd", description="Verifies mail for qmail_qfilter_verify.py.")
    parser.add_argument("--user", help="user to run as; it needs no rights")
    parser.add_argument("--workers", type=int, default=4, metavar="N",
                        help="processes that verify (default 4)")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers: at least 1")
    settings = Settings(os.environ)
    try:
        listening = listen(settings["DKSERVER"])
        workers = prefork.Workers(listening, options.workers,
                                  lambda: prepared(settings, options.workers))
        become(options.user)
        workers.run()
    except OSError as trouble:
        code, reason = TROUBLE, f"{trouble.filename or settings['DKSERVER']}: {trouble.strerror}"
    except (Trouble, ImportError) as trouble:
        code, reason = TROUBLE, str(trouble)
    else:
        code, reason = 0, "ended by a signal"
    maillog.tell(reason)
    return code


def listen(path):
    """Returns the listening socket at path; users who may enter its directory can use it.

    It replaces the socket of an earlier server.  Raises OSError, and SettingTrouble also
    if others may write to the directory, because they could replace the server.
    """
    if not path.startswith("/"):
        raise SettingTrouble(f"DKSERVER: {path!r} is not the path of a socket")
    directory = os.path.dirname(path)
    state = os.stat(directory)
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or state.st_uid not in (0, os.geteuid()):
        raise SettingTrouble(f"DKSERVER: others can write to {directory}")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SettingTrouble(f"DKSERVER: {path} is there, and not a socket")
        os.unlink(path)
    except FileNotFoundError:
        pass
    listening.bind(path)
    os.chmod(path, 0o666)
    listening.listen(WAITING)
    return listening


def become(user):
    """Exchanges root's rights for those of a user (name).  Raises SettingTrouble, OSError."""
    if not user:
        if os.geteuid() == 0:
            raise SettingTrouble("root verifies no mail: --user must name a user without rights")
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise SettingTrouble(f"--user: there is no user {user}") from error
    if os.geteuid() != entry.pw_uid:
        os.setgroups([entry.pw_gid])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if os.geteuid() == 0:
        raise SettingTrouble(f"--user: {user} is root")


def prepared(settings, workers):
    """Returns the function that serves a connection, with the settings as they are now.

    workers: number of workers.  Raises Trouble, ImportError.
    """
    try:
        serve = server.ResidentVerifier(settings["DNSCACHEIP"], workers).serve
    except OSError as error:
        raise Trouble(f"no temporary file: {error.strerror}") from error
    gc.collect()
    gc.freeze()     # so that workers share the pages of all that is loaded by now
    return serve


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
