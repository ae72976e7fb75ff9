# SPDX-License-Identifier: MIT
"""Messages, and the fields and the body that they are split into."""

# (message, fields as (name, bytes), body, whether it had an empty line)
IN_ORDER = [
    (b"", [], b"", False),
    (b"\n", [], b"", True),
    (b"\nbody\n", [], b"body\n", True),
    (b"\n\nbody\n", [], b"\nbody\n", True),
    (b"A: b\n", [(b"a", b"A: b\n")], b"", False),
    (b"A: b\n\n", [(b"a", b"A: b\n")], b"", True),
    (b"A: b\n\nbody", [(b"a", b"A: b\n")], b"body", True),
    (b"A: b\n\n\n\nbody\n", [(b"a", b"A: b\n")], b"\n\nbody\n", True),
    (b"A:b\nC:\n", [(b"a", b"A:b\n"), (b"c", b"C:\n")], b"", False),
    (b"A: b\n\tc\n d\nE: f\n\nx\n", [(b"a", b"A: b\n\tc\n d\n"), (b"e", b"E: f\n")], b"x\n", True),
    (b"A: b\n \nC: d\n\nx\n", [(b"a", b"A: b\n \n"), (b"c", b"C: d\n")], b"x\n", True),
    (b"A: b\nA: c\n\n", [(b"a", b"A: b\n"), (b"a", b"A: c\n")], b"", True),
    (b"A::b\n\n", [(b"a", b"A::b\n")], b"", True),
]

# (message, a word of the flaw, names that are still found)
FLAWED = [
    (b"A: b", "ends within", [b"a"]),
    (b"garbage\nA: b\n\n", "line 1 ", [b"", b"a"]),
    (b"A: b\ngarbage\n folded\nC: d\n\n", "line 2 ", [b"a", b"", b"c"]),
    (b" b\nA: b\n\n", "line 1 ", [b"", b"a"]),
    (b"From x\nA: b\n\n", "line 1 ", [b"", b"a"]),
    (b"A : b\n\n", "line 1 ", [b"a"]),
    (b"A\t: b\n\n", "line 1 ", [b"a"]),
    (b": b\n\n", "line 1 ", [b""]),
    (b"A b: c\n\n", "line 1 ", [b""]),
    (b"A;b: c\n\n", "line 1 ", [b""]),
    (b"\xe4: c\n\n", "line 1 ", [b""]),
    (b"A: \0\n\n", "NUL", [b"a"]),
    (b"A: \v\n\n", "VT", [b"a"]),
    (b"A: \f\n\n", "FF", [b"a"]),
    (b"A: " + b"x" * 70000 + b"\n\n", "longer", [b"a"]),
    (b"A: " + b"x\n " * 30000 + b"\n\n", "longer", [b"a"]),
]
