# SPDX-License-Identifier: MIT
"""What is taken for the value of a setting, from the environment and from control files."""

import os

import pytest
from tests.support import signing

from lib.errors import SettingTrouble
from lib.settings import DEFAULTS, Settings
from lib.signing import outbound

MESSAGE = b"From: alice@example.com\n\nx\n"

# What editors and shells put around a value that was meant as "simple".
AROUND = {
    "as it is": b"simple", "CR": b"simple\r", "blanks": b" \t simple \t", "LF": b"simple\n",
    "CR LF": b"simple\r\n", "no-break space": b"simple\xc2\xa0",
    "byte order mark": b"\xef\xbb\xbfsimple", "all": b"\xef\xbb\xbf simple \r\n",
}


def in_environment(tmp_path, name, value):
    return Settings({name: os.fsdecode(value)}, str(tmp_path))


def in_control_file(tmp_path, name, value):
    (tmp_path / name.lower()).write_bytes(value)
    return Settings({}, str(tmp_path))


PLACES = (in_environment, in_control_file)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("around", AROUND)
def test_cleaned(tmp_path, place, around):
    for name in DEFAULTS:
        assert place(tmp_path, name, AROUND[around])[name] == "simple"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("blank", [b"", b" ", b"\r", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_nothing_but_blanks_means_the_default(tmp_path, place, blank):
    for name, default in DEFAULTS.items():
        assert place(tmp_path, name, blank)[name] == default


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("around", AROUND)
def test_the_key_is_found(tmp_path, place, around):
    """Not only the value: the message is signed."""
    signer = signing.Signer(tmp_path / "keys")
    value = AROUND[around].replace(b"simple", os.fsencode(signer.environment["DKSIGN"]))
    with open(tmp_path / "message", "wb+") as file:
        file.write(MESSAGE)
        file.flush()
        fields, _ = outbound.sign_message(file.fileno(), b"", place(tmp_path, "DKSIGN", value))
    assert fields.startswith(b"DKIM-Signature:")


# A value of DKSIGN that names no key as it stands -> what it means, None where nothing.
PATTERNS = {
    "/k/%/default": "/k/%/default", " /k/%/a : /k/%/b\r": "/k/%/a:/k/%/b", ":/k/%:": "/k/%",
    "/k/%/a b": "/k/%/a b", "/k/\udce4/%": "/k/\udce4/%",
    "%/default": None, "./%": None, "~/%": None, "/k/%:%/default": None, "keys/%/x": None,
    "/k/%\rdefault": None, "/k/%/default\n/k/%/x": None, "\ufffe/k/%": None, "'/k/%'": None,
    "\udcff\udcfe/\0k": None, "/k/\0%": None, "/k/\x7f%": None, ":": None, " : ": None,
    "$HOME/%": None,
}


@pytest.mark.parametrize("value", PATTERNS)
def test_patterns(tmp_path, value):
    settings = Settings({"DKSIGN": value}, str(tmp_path))
    if PATTERNS[value] is None:
        with pytest.raises(SettingTrouble, match="^DKSIGN: "):
            settings.key_patterns()
    else:
        assert settings.key_patterns() == PATTERNS[value]


# Settings of one word -> (function that reads it, {value: what it means}).
WORDS = {
    "DKONERROR": (Settings.unsigned_on_error, {"defer": False, "Unsigned": True}),
    "DKFORWARDED": (Settings.checks_forwarded, {"check": True, "sign": False}),
    "DKLOG": (Settings.logs_keyless, {"signed": False, "ALL": True}),
    "DKDMARC": (Settings.dmarc, {"off": "off", "mark": "mark", "Refuse": "refuse"}),
    "DKPOLICY": (lambda settings: settings.is_on("DKPOLICY"),
                 {"no": False, "0": False, "yes": True, "1": True, "YES": True}),
}


@pytest.mark.parametrize("name", WORDS)
def test_one_word(tmp_path, name):
    """Two are refused: nobody could say which counts."""
    read, meanings = WORDS[name]
    for value, meaning in meanings.items():
        assert read(Settings({name: value}, str(tmp_path))) == meaning
    for value in (*map("{0} {0}".format, meanings), " ".join(meanings), "maybe", "-"):
        with pytest.raises(SettingTrouble, match=f"^{name}"):
            read(Settings({name: value}, str(tmp_path)))


@pytest.mark.parametrize("value, is_right", [
    ("DEGIJKfh", True), ("d e\tg - h", True), ("-", True), ("L", False), ("A,B", False),
    ("\u0131", False), ("\u212a", False), ("1", False)])
def test_letters(tmp_path, value, is_right):
    settings = Settings({"DKVERIFY": value}, str(tmp_path))
    if is_right:
        assert settings.letters() == value
    else:
        with pytest.raises(SettingTrouble, match="^DKVERIFY: "):
            settings.letters()


@pytest.mark.parametrize("value", ["bin/qmail-remote", "./x", "~/x", "/x\ry", "x"])
def test_a_relative_path_is_refused(tmp_path, value):
    """It would be another one for each program: qmail-remote runs in queue/mess."""
    with pytest.raises(SettingTrouble, match="^DKREMOTE: "):
        Settings({"DKREMOTE": value}, str(tmp_path)).path("DKREMOTE")
    with pytest.raises(SettingTrouble, match="^TMPDIR: "):
        Settings({"TMPDIR": value}, str(tmp_path)).temporary_directory()


def test_a_directory_for_large_messages(tmp_path):
    for value, meant in (("/var/tmp\r", "/var/tmp"), (" ", None)):
        settings = Settings({"TMPDIR": value}, str(tmp_path))
        assert settings.temporary_directory() == meant


def test_relative_patterns_defer(tmp_path):
    signer = signing.Signer(tmp_path)
    signer.environment["DKSIGN"] = signer.environment["DKSIGN"][1:]
    with pytest.raises(SettingTrouble, match="DKSIGN"):
        signer.sign(MESSAGE)


def test_a_control_file_that_is_a_link_to_nothing(tmp_path):
    (tmp_path / "dksign").symlink_to("nowhere")
    with pytest.raises(SettingTrouble, match="dksign is a link to nothing"):
        Settings({}, str(tmp_path)).key_patterns()
