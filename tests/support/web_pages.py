# SPDX-License-Identifier: MIT
"""What a page of HTML needs, says, and looks like in a real browser."""

import html
import html.parser
import json
import re

from tests.support import chromium

PHONE = 360             # CSS pixels, of a small one

# A page that shows the page in a frame of a width, and writes down what is seen there.
FRAME = """<iframe src="{name}" width="{width}" height="800" style="border: 0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
    const page = frame.contentDocument, all = (what) => [...page.querySelectorAll(what)];
    const box = (element) => element.getBoundingClientRect();
    const size = (element) => parseFloat(frame.contentWindow.getComputedStyle(element).fontSize)
        * (element.ownerSVGElement ? box(element.ownerSVGElement).width / 360 : 1);
    document.body.append("seen:" + JSON.stringify({{
        width: page.documentElement.scrollWidth,
        bars: all("svg rect").filter((bar) => box(bar).width && box(bar).height).length,
        smallest: Math.min(...all("svg text, p, li, td, th").map(size)),
        outside: all("svg text").filter((text) =>
            box(text).right > box(text.ownerSVGElement).right + 1 || box(text).left < 0).map(
            (text) => text.textContent),
        colours: new Set(all("svg rect").map((bar) =>
            frame.contentWindow.getComputedStyle(bar).fill)).size,
        overlapping: all("svg").flatMap((drawing) => {{
            const texts = [...drawing.querySelectorAll("text")];
            return texts.filter((one, number) => texts.slice(number + 1).some((other) =>
                box(one).left < box(other).right && box(other).left < box(one).right
                && box(one).top < box(other).bottom - 4
                && box(other).top < box(one).bottom - 4)).map((one) => one.textContent);
        }}),
        attributes: all("*").flatMap((element) => element.getAttributeNames()).filter(
            (name) => name.startsWith("on"))}}));
}};
</script>"""


class Resources(html.parser.HTMLParser):
    """Collects what a page would load, and all of its text."""

    def __init__(self, text):
        super().__init__()
        self.resources, self.elements, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append(name)
        self.resources += [value for key, value in attributes
                           if key in ("src", "href", "srcset", "data", "action", "xlink:href")]

    def handle_data(self, data):
        self.texts.append(data)


def assert_needs_nothing_else(text):
    """Asserts that a page (str) loads nothing and runs nothing."""
    found = Resources(text)
    assert found.resources == [] and "script" not in found.elements and "link" not in found.elements
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def seen(directory, page, width):
    """Returns what Chromium shows of a page (path) in a frame of a width, dict.

    directory: for its profile
    """
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(width=width, name=page.name))
    said = chromium.document(directory, frame)
    return json.loads(html.unescape(re.search(r"seen:(\{.*?\})</body>", said)[1]))
