# SPDX-License-Identifier: MIT
"""Finds the installed packages, for the few paths that need one.

The programs run under `python3 -IS`, which saves 5 ms and takes no code from
PYTHONPATH, the user's site directory or sitecustomize.
"""

import os
import site
import sys


def add_site_packages():
    """Appends the interpreter's own package directories to sys.path, once.

    A private environment is known by its pyvenv.cfg, as site itself does it;
    under -S, Debian's site takes it for the system, which has other directories.
    """
    environment = os.path.dirname(os.path.dirname(os.path.abspath(sys.executable)))
    if os.path.exists(os.path.join(environment, "pyvenv.cfg")):
        version = "python{}.{}".format(*sys.version_info)
        directories = [os.path.join(environment, "lib", version, "site-packages")]
    else:
        directories = site.getsitepackages()
    for directory in directories:
        if directory not in sys.path:
            sys.path.append(directory)


class Hidden:
    """While entered, the named modules can't be imported; those of empty are there, but empty.

    For what a package imports at its start only in case it may be needed, at a
    high price: it then does without.
    """

    def __init__(self, *absent, empty=()):
        self.stand_ins = {name: None for name in absent if name not in sys.modules}
        for name in empty:
            if name not in sys.modules:
                self.stand_ins[name] = type(sys)(name)

    def __enter__(self):
        sys.modules.update(self.stand_ins)

    def __exit__(self, *exception):
        for name in self.stand_ins:
            del sys.modules[name]
