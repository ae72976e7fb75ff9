# SPDX-License-Identifier: MIT
"""Binds C functions with _ctypes, the compiled half of the ctypes package.

The package's other half imports struct, types and much that is not needed here:
2.5 ms of each delivery, a fifth of the interpreter's start.  Where a Python
has no such module, importing this raises ImportError.
"""

import _ctypes
from _ctypes import addressof, byref       # noqa: F401 (imported from here)

RTLD_NOW = 2


class c_int(_ctypes._SimpleCData):
    _type_ = "i"


class c_size_t(_ctypes._SimpleCData):
    _type_ = "L"


class c_uint64(_ctypes._SimpleCData):
    _type_ = "Q"


class c_char(_ctypes._SimpleCData):
    _type_ = "c"


class c_char_p(_ctypes._SimpleCData):
    _type_ = "z"


class c_void_p(_ctypes._SimpleCData):
    _type_ = "P"


class Function(_ctypes.CFuncPtr):
    """A C function; restype and argtypes as in ctypes."""

    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = c_int


class Library:
    """A shared library.  Raises OSError if it can't be loaded."""

    def __init__(self, name):
        self._handle = _ctypes.dlopen(name, RTLD_NOW)

    def __getattr__(self, name):
        try:
            function = Function(_ctypes.dlsym(self._handle, name))
        except OSError as error:
            raise AttributeError(str(error)) from error
        setattr(self, name, function)
        return function


def create_string_buffer(size):
    """A C array of size bytes, zeroed."""
    return (c_char * size)()
