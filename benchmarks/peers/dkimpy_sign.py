# SPDX-License-Identifier: MIT
"""Signs the message on descriptor 0 with dkim.sign(), once, and runs $DKREMOTE on the result.

    python3 dkimpy_sign.py domain selector key-file
"""

import os
import sys
import tempfile

import dkim

domain, selector, key_file = sys.argv[1:]
message = sys.stdin.buffer.read()
with open(key_file, "rb") as file:
    key = file.read()
field = dkim.sign(message, selector.encode(), domain.encode(), key,
                  canonicalize=(b"relaxed", b"relaxed"))
with tempfile.TemporaryFile() as copy:
    copy.write(field.replace(b"\r\n", b"\n") + message)
    copy.flush()
    os.lseek(copy.fileno(), 0, os.SEEK_SET)
    os.dup2(copy.fileno(), 0)
    os.execv(os.environ["DKREMOTE"], ["qmail-remote"])
