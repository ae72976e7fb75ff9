# SPDX-License-Identifier: MIT
"""Makes installed packages importable, for the few paths that need one.

The programs run under `python3 -IS`, which saves 5 ms and loads no code from
PYTHONPATH, the user's site directory or sitecustomize.
"""

import os
import site
import sys
import types


def add_site_packages():
    """Appends the interpreter's own package directories to sys.path, once.

    A virtual environment is recognized by its pyvenv.cfg (PEP 405), as site does;
    under -S, Debian's site mistakes it for the system, whose directories differ.
    """
    environment = os.path.dirname(os.path.dirname(os.path.abspath(sys.executable)))
    if os.path.exists(os.path.join(environment, "pyvenv.cfg")):
        # An interpreter without a global lock has packages of its own: lib/python3.14t.
        version = "python{}.{}".format(*sys.version_info) + "t" * is_free_threaded()
        directories = [os.path.join(environment, "lib", version, "site-packages")]
    else:
        directories = site.getsitepackages()
    for directory in directories:
        if directory not in sys.path:
            sys.path.append(directory)


def is_free_threaded():
    """Returns whether this Python runs threads without a global lock, as python3.14t does."""
    return "t" in sys.abiflags


class Late(types.ModuleType):
    """A module, no package, that is imported once an attribute is needed that is not known.

    known: its attributes that are
    """

    def __init__(self, name, **known):
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, name):
        if name == "__path__":      # the import system asks whether it is a package
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:      # within the context of Hidden
            del sys.modules[self.__name__]
        return getattr(__import__(self.__name__), name)


class Hidden:
    """A context in which the modules `absent` can't be imported and those of `empty` are empty.

    Some packages import costly modules at start-up only in case they are needed,
    and do without if they can't.  late: modules (Late) that they need only later, if ever.
    Modules that are already imported stay.
    """

    def __init__(self, *absent, empty=(), late=()):
        self.stand_ins: dict = {name: None for name in absent if name not in sys.modules}
        for name in empty:
            if name not in sys.modules:
                self.stand_ins[name] = types.ModuleType(name)
        self.stand_ins.update((module.__name__, module) for module in late
                              if module.__name__ not in sys.modules)

    def __enter__(self):
        sys.modules.update(self.stand_ins)

    def __exit__(self, *exception):
        for name, stand_in in self.stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
