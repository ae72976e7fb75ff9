# SPDX-License-Identifier: MIT
"""qmail-dk-verifyd, the resident verifier: verifies for qmail_qfilter_verify.py.

Run as a script by the launcher, under a supervisor such as daemontools or
systemd: stays in the foreground, logs to descriptor 2.  Started as root, who
alone can make the socket where others can't replace it; all is loaded, and
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
    # Under -I, Python does not look for modules beside the script.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import maillog, prefork, resident_verifier, settings       # noqa: E402
from lib.errors import SettingTrouble, Trouble                      # noqa: E402

TROUBLE = 111

WAITING = 64            # connections that wait for a worker; more are turned away at once


def main(arguments):
    """-> exit code."""
    parser = argparse.ArgumentParser(
        prog="qmail-dk-verifyd", description="Verifies mail for qmail_qfilter_verify.py.")
    parser.add_argument("--user", help="whom to run as; has no rights anywhere")
    parser.add_argument("--workers", type=int, default=4, metavar="N",
                        help="processes that verify (default 4)")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers: at least 1")
    in_force = settings.Settings(os.environ)
    try:
        listening = listen(in_force["DKSERVER"])
        workers = prefork.Workers(listening, options.workers, lambda: prepared(in_force))
        become(options.user)
        workers.run()
    except OSError as trouble:
        code, reason = TROUBLE, f"{trouble.filename or in_force['DKSERVER']}: {trouble.strerror}"
    except (Trouble, ImportError) as trouble:
        code, reason = TROUBLE, str(trouble)
    else:
        code, reason = 0, "ended by a signal"
    maillog.tell(reason)
    return code


def listen(path):
    """The listening socket at path.  Who may enter its directory may use it.

    The socket of a server before this one is replaced.  Who may write to the
    directory could take the server's place, so no others must.  Raises OSError,
    SettingTrouble.
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
    """Gives up root's rights for those of a user (name).  Raises SettingTrouble, OSError."""
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


def prepared(in_force):
    """What workers do with a connection, by the settings as they are now.

    Raises Trouble, ImportError.
    """
    serve = resident_verifier.ResidentVerifier(in_force["DNSCACHEIP"]).serve
    gc.collect()
    gc.freeze()     # so that workers share what is loaded by now
    return serve


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
