# SPDX-License-Identifier: MIT
"""Compiles the programs of a release where necessary, and reads the result back.

usage: compile.py RELEASE

If a full disk truncates a .pyc file, Python does not notice, and then fails to
import the module at each delivery.  Exits 1, with a line on descriptor 2, if a
file can't be compiled or is not whole.
"""

import importlib.util
import marshal
import pathlib
import py_compile
import struct
import sys

HEADER = 16     # bytes: PEP 552
BITS = 0xffffffff       # the time and the size in it have 32 bits

NOT_WHOLE = OSError, EOFError, ValueError, TypeError


def main(release):
    """Compiles all sources below a release (path, str)."""
    for source in sorted(pathlib.Path(release).rglob("*.py")):
        compiled = importlib.util.cache_from_source(str(source))
        if serves(source, compiled):
            continue
        try:
            py_compile.compile(str(source), compiled, doraise=True)
            read_back(compiled)
        except (*NOT_WHOLE, py_compile.PyCompileError) as error:
            sys.exit(f"{compiled}: {error}")


def serves(source, compiled):
    """Returns whether a compiled file exists, is whole and matches its source.

    source: pathlib.Path; compiled: path, str
    """
    state = source.stat()
    try:
        header = read_back(compiled)
    except NOT_WHOLE:
        return False
    return header == importlib.util.MAGIC_NUMBER + struct.pack(
        "<3L", 0, int(state.st_mtime) & BITS, state.st_size & BITS)


def read_back(compiled):
    """Returns the header (bytes) of a compiled file.  Raises NOT_WHOLE."""
    data = pathlib.Path(compiled).read_bytes()
    marshal.loads(data[HEADER:])
    return data[:HEADER]


if __name__ == "__main__":
    main(sys.argv[1])
