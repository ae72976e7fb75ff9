# SPDX-License-Identifier: MIT
"""A page of HTML that needs no other file, no script and no network."""

import os
import stat
from html import escape

from ..errors import RequestTrouble

STYLE = """
:root { color-scheme: light dark; --text: #1a202c; --page: #fff; --line: #cbd5e0;
  --good: #2b6cb0; --fair: #d69e2e; --bad: #c53030 }
@media (prefers-color-scheme: dark) { :root { --text: #e2e8f0; --page: #171923;
  --line: #4a5568; --good: #63b3ed; --fair: #ecc94b; --bad: #fc8181 } }
body { color: var(--text); background: var(--page); font: 16px/1.5 sans-serif;
  margin: 0 auto; padding: 0 1rem 3rem; max-width: 40rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.25rem; margin-top: 2.5rem }
h2, li, td { overflow-wrap: anywhere }
td:first-child { min-width: 5rem } td + td, .whole { white-space: nowrap }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .25rem .5rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left }
@media (max-width: 30rem) { table { font-size: .875rem } th, td { padding-right: .25rem } }
ul { padding: 0; list-style: none } li { margin: .75rem 0; padding-left: .75rem;
  border-left: 4px solid var(--good) }
li.warn { border-color: var(--fair) } li.FAIL { border-color: var(--bad) }
svg { display: block; width: 100%; max-width: 28rem; font: 12.5px sans-serif; fill: var(--text) }
.good { fill: var(--good) } .fair { fill: var(--fair) } .bad { fill: var(--bad) }
.line { stroke: var(--line); fill: none } .strong { font-weight: bold }
.legend span { display: inline-block; margin-right: 1rem }
.legend i { display: inline-block; width: .75em; height: .75em; margin-right: .4em }
i.good { background: var(--good) } i.fair { background: var(--fair) }
i.bad { background: var(--bad) }
"""

START = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>@TITLE@</title>
<style>{STYLE}</style>
</head>
<body>
<h1>@TITLE@</h1>
"""
END = "</body>\n</html>\n"


def whole(title, parts):
    """Returns the page (str).  title: str; parts: of its body, HTML"""
    return START.replace("@TITLE@", escape(title)) + "".join(parts) + END


def write(path, page):
    """Writes a page (str) in the place of a file, which is whole at every instant.

    Replaces only a file: root would take away /dev/stdout or /dev/null, for all programs.
    Raises RequestTrouble, OSError.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise RequestTrouble(f"{path} is there, and is no file that a page may replace")
    new = f"{path}.{os.urandom(8).hex()}.new"
    with open(new, "x", encoding="utf-8") as file:      # through no link
        try:
            file.write(page)
            file.flush()
            os.replace(new, path)
        except BaseException:
            os.unlink(new)
            raise


def more(left):
    """Returns a line on what is left out, "" if nothing is."""
    return f"<p>and {left:,} more</p>\n" if left > 0 else ""


def legend(words):
    """Returns a line that explains colours.  words: {class: str}"""
    return '<p class="legend">' + "".join(
        f'<span><i class="{colour}"></i>{said}</span>' for colour, said in words.items()) + "</p>\n"
