# SPDX-License-Identifier: MIT
"""What install.sh status says of the parts that are installed.

usage: python3 -IS -X utf8 -X qmail=DIR -X original=PATH -X release=DIR status.py PREFIX

Exit code 1 where something is not as install.sh left it.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib.admin import host, status
from lib.errors import Trouble


def main(prefix):
    """-> exit code."""
    seen = host.this_host()
    seen.installation = host.recorded(os.path.join(prefix, "installed"))
    lines = status.lines(seen)
    for line in lines:
        print(f"{line.subject + ':':<11}{line.text}")
    return int(any(line.bad for line in lines))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except (Trouble, OSError) as trouble:
        print(f"{'check:':<11}not made: {trouble}; remedy: ./install.sh")
        sys.exit(1)
