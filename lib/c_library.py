# SPDX-License-Identifier: MIT
"""Binds C functions with _ctypes, the compiled half of the ctypes package.

The half in Python imports struct, types and other modules that are not needed
here; that costs 2.5 ms per delivery, a fifth of the interpreter's start.
Importing this module raises ImportError in a Python that has no _ctypes.
"""

import _ctypes
from _ctypes import addressof, byref       # noqa: F401 (imported from here)

RTLD_NOW = 2


class c_int(_ctypes._SimpleCData):
    _type_ = "i"


class c_short(_ctypes._SimpleCData):
    _type_ = "h"


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
    """A C function; set restype and argtypes as in ctypes."""

    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = c_int


class BriefFunction(_ctypes.CFuncPtr):
    """A C function that keeps the interpreter's lock, for calls that take less than to get it."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = c_int


class Library:
    """A shared library; its functions are attributes.

    name: soname or path, None for the process itself; kind: Function or BriefFunction
    Raises OSError if the library can't be loaded, AttributeError for a function that it lacks.
    """

    def __init__(self, name, kind=Function):
        self._handle = _ctypes.dlopen(name, RTLD_NOW)
        self._kind = kind

    def __getattr__(self, name):
        try:
            function = self._kind(_ctypes.dlsym(self._handle, name))
        except OSError as error:
            raise AttributeError(str(error)) from error
        setattr(self, name, function)
        return function


def create_string_buffer(size):
    """Returns a C array of size bytes, all zero."""
    return (c_char * size)()
