# SPDX-License-Identifier: MIT
"""A qmail-rspawn that signs: the resident signer, which starts the original qmail-remote.

    qmail_rspawn.py CONCURRENCY     run by the launcher, in the place of qmail-rspawn
    qmail_rspawn.py --check         exits 0 if it could run
    qmail_rspawn.py --sign          run by itself, as a signing process

CONCURRENCY is the first byte that the original writes: conf-spawn of its build.
"""

import os
import signal
import sys

if __name__ == "__main__":
    # With -I, Python does not search the script's directory for modules.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import maillog
from lib.rspawn import deliveries, worker, worker_main
from lib.settings import QMAIL
from lib.qmail.spawn import TEMPORARY, trouble_text

CHECK = "--check"


def main(arguments):
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)    # as it was before Python started
    if arguments == [worker.SIGN]:
        worker_main.serve()
    elif arguments == [CHECK]:
        worker_main.check()
    else:
        concurrency, = map(int, arguments)
        for descriptor in (0, 1):
            os.fstat(descriptor)    # raises if closed: another file would get its number
        os.chdir(QMAIL)
        os.chdir("queue/mess")
        program = deliveries.Rspawn(concurrency)
        deliveries.clean_timeouts()
        maillog.info(f"started: signs for {concurrency} deliveries at once")
        program.run()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BaseException as trouble:    # qmail-send notices the exit, as at a restart
        maillog.warn(f"ended: {trouble_text(trouble)}")
        os._exit(TEMPORARY)
    os._exit(0)
