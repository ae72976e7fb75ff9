# SPDX-License-Identifier: MIT
"""qmail-rspawn that signs: stays, and starts the original qmail-remote.

    qmail_rspawn.py CONCURRENCY     by the launcher, in the place of qmail-rspawn
    qmail_rspawn.py --check         exit code 0: it would run
    qmail_rspawn.py --sign          by itself: a process that signs

CONCURRENCY is the first byte that the original writes: conf-spawn of its build.
"""

import os
import signal
import sys

if __name__ == "__main__":
    # Under -I, Python does not look for modules beside the script.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import maillog, resident_rspawn, signing_worker            # noqa: E402
from lib.settings import QMAIL                                      # noqa: E402
from lib.spawn_protocol import TEMPORARY, trouble_text              # noqa: E402

CHECK = "--check"


def main(arguments):
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)    # it was, before Python
    if arguments == [signing_worker.SIGN]:
        signing_worker.serve()
    elif arguments == [CHECK]:
        signing_worker.check()
    else:
        concurrency, = map(int, arguments)
        for descriptor in (0, 1):
            os.fstat(descriptor)    # if one is closed, another file would get its number
        os.chdir(QMAIL)
        os.chdir("queue/mess")
        program = resident_rspawn.Rspawn(concurrency)
        resident_rspawn.clean_timeouts()
        maillog.info(f"started: signs for {concurrency} deliveries at once")
        program.run()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BaseException as trouble:    # qmail-send sees the end of this process, as a restart
        maillog.warn(f"ended: {trouble_text(trouble)}")
        os._exit(TEMPORARY)
    os._exit(0)
