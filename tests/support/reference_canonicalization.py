# SPDX-License-Identifier: MIT
"""Canonicalization to the letter of the RFCs, on whole texts and without regard to speed."""

import re


def lines(body):
    """Returns the body with CR LF line ends; the last line gets one too, as SMTP demands."""
    if body and not body.endswith(b"\n"):
        body += b"\n"
    return body.replace(b"\n", b"\r\n")


def without_last_empty_lines(text):
    """Returns text without the empty lines at its end, and without the last line end."""
    kept = text.split(b"\r\n")
    while kept and not kept[-1]:
        kept.pop()
    return b"\r\n".join(kept)


def reference_simple_body(body):
    """RFC 6376 section 3.4.3."""
    return without_last_empty_lines(lines(body)) + b"\r\n"


def reference_relaxed_body(body):
    """RFC 6376 section 3.4.4."""
    body = re.sub(rb"[ \t]+\r\n", b"\r\n", lines(body))
    body = re.sub(rb"[ \t]+", b" ", body)
    body = without_last_empty_lines(body)
    return body + b"\r\n" if body else b""


def reference_nofws_message(header, body):
    """RFC 4870 section 3.4.2.2; header is canonical already."""
    text = header + b"\r\n" + re.sub(rb"[ \t]", b"", lines(body))
    return without_last_empty_lines(text) + b"\r\n"


def reference_relaxed_field(field):
    """RFC 6376 section 3.4.2."""
    name, value = re.fullmatch(rb"([^:]*):(.*)", field, re.DOTALL).groups()
    value = re.sub(rb"\n(?=[ \t]|\Z)", b"", value)
    value = re.sub(rb"[ \t]+", b" ", value)
    return name.lower().rstrip(b" \t") + b":" + value.strip(b" ") + b"\r\n"
