# SPDX-License-Identifier: MIT
"""Files with a TSIG key: the forms that are read, and what is refused without showing any."""

import os
import shutil
import subprocess

import pytest

from lib.admin.publishing import tsig_key
from lib.errors import PublishTrouble

SECRET = "c2VjcmV0//8="
STATEMENT = f'key "qmail-dk" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'


def read(tmp_path, text, mode=0o640):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    return tsig_key.read(str(path))


@pytest.mark.parametrize("text", [
    STATEMENT,
    STATEMENT.replace("\n", " "),
    STATEMENT.replace('"', "").replace("//8=", "/w=="),
    STATEMENT.replace("hmac-sha256", '"HMAC-SHA256."'),
    STATEMENT.strip().rstrip(";"),
    f'# key\n// key "x" {{\n/* }};\n*/ key qmail-dk{{secret"{SECRET}";algorithm hmac-sha256;}}; #',
])
def test_forms(tmp_path, text):
    key = read(tmp_path, text)
    assert (key.name, key.algorithm) == ("qmail-dk", "hmac-sha256")
    assert key.secret in (b"secret\xff\xff", b"secret\xff")


@pytest.mark.parametrize("algorithm", tsig_key.ALGORITHMS)
def test_made_by_bind(tmp_path, algorithm):
    if not shutil.which("tsig-keygen"):
        pytest.skip("tsig-keygen is not installed")
    text = subprocess.run(["tsig-keygen", "-a", algorithm, "qmail-dk"], check=True, text=True,
                          capture_output=True).stdout
    key = read(tmp_path, text)
    assert (key.name, key.algorithm) == ("qmail-dk", algorithm) and len(key.secret) >= 20


@pytest.mark.parametrize("text, words", [
    ("", "not one key statement"),
    (SECRET, "not one key statement"),
    (STATEMENT * 2, "not one key statement"),
    (STATEMENT[:-4], "not one key statement"),
    (STATEMENT[:60], "not in the form of BIND's configuration"),
    (STATEMENT.replace("key", "server"), "not one key statement"),
    (STATEMENT.replace("secret ", "algorithm "), "an algorithm and a secret, and no more"),
    (STATEMENT.replace("sha256", "md5"), "its algorithm is none of: hmac-sha1 hmac-sha224"),
    (STATEMENT.replace(SECRET, SECRET[1:]), "its secret is not in base64"),
    (STATEMENT.replace(SECRET, "\xe9"), "its secret is not in base64"),
    (STATEMENT.replace("qmail-dk", "a b"), "not a domain name"),
])
def test_refused(tmp_path, text, words):
    with pytest.raises(PublishTrouble) as raised:
        read(tmp_path, text)
    said = str(raised.value)
    assert words in said and str(tmp_path / "key") in said and "; remedy: " in said
    assert SECRET[1:] not in said and "\n" not in said


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_open_to_others(tmp_path, mode):
    with pytest.raises(PublishTrouble, match="others can read or change this key; remedy"):
        read(tmp_path, STATEMENT, mode)


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "pipe", "is not a file"),
                        (tmp_path / "none", "No such file")):
        with pytest.raises(PublishTrouble, match=words):
            tsig_key.read(str(path))
