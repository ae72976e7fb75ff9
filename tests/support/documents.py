# SPDX-License-Identifier: MIT
"""Reads the manual's pages and the texts of doc/."""

from tests.support.checkout import CHECKOUT

PAGES = sorted((CHECKOUT / "man").glob("*.[1-8]"))
TEXTS = sorted((CHECKOUT / "doc").iterdir())


def page(name):
    return (CHECKOUT / "man" / name).read_text()


def text(name):
    return (CHECKOUT / "doc" / name).read_text()
