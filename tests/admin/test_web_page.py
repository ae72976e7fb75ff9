# SPDX-License-Identifier: MIT
"""Where a page of HTML is written, and what it never replaces."""

import os

import pytest

from lib.admin import web_page
from lib.errors import RequestTrouble


def make_link(path):
    path.with_name("target").write_text("precious")
    path.symlink_to("target")


def make_link_to_fifo(path):
    """As /dev/stdout is one.  No device of the machine's, which a fault here would replace."""
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


MADE = {
    "a link to a file": make_link,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to a FIFO": make_link_to_fifo,
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_no_file_stays(tmp_path, name):
    path = tmp_path / "page.html"
    MADE[name](path)
    before = os.lstat(path)
    with pytest.raises(RequestTrouble, match="page.html"):
        web_page.write(str(path), "page")
    assert os.path.samestat(os.lstat(path), before)
    assert all(file.read_text() == "precious" for file in tmp_path.glob("target"))
    assert not list(tmp_path.glob("*.new"))


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("an older page, which is longer")
    with open(path) as reader:
        web_page.write(str(path), "page")
        assert reader.read() == "an older page, which is longer"        # it was whole meanwhile
    assert (path.read_text(), os.listdir(tmp_path)) == ("page", ["page.html"])


def test_no_link_in_the_place_of_the_new_file_is_followed(tmp_path, monkeypatch):
    """In a directory that others may write to, they can put one there."""
    path = tmp_path / "page.html"
    opened = []

    def with_link(named, mode, **options):
        victim = tmp_path / f"victim{len(opened)}"
        victim.write_text("precious")
        os.symlink(victim, named)       # as if its name had been guessed
        opened.append(victim)
        return open(named, mode, **options)

    monkeypatch.setattr(web_page, "open", with_link, raising=False)
    with pytest.raises(FileExistsError):
        web_page.write(str(path), "page")
    assert [victim.read_text() for victim in opened] == ["precious"]
    assert not path.exists()


def test_the_name_of_the_new_file_can_not_be_guessed(tmp_path, monkeypatch):
    names = set()

    def noted(named, mode, **options):
        names.add(named)
        return open(named, mode, **options)

    monkeypatch.setattr(web_page, "open", noted, raising=False)
    for _ in range(2):
        web_page.write(str(tmp_path / "page.html"), "page")
    assert len(names) == 2


def test_nothing_is_left_of_a_page_that_can_not_be_written(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        web_page.write(str(tmp_path / "page.html"), "\ud800")
    assert os.listdir(tmp_path) == []
