# SPDX-License-Identifier: MIT
"""What the door to dkimpy lets it import, with the oldest and the newest version allowed."""

import json
import subprocess
import sys

import pytest

from lib.admin import check_packages
from tests.support.rspawn import CHECKOUT

NEWEST = "1.1.8"        # that has been tried; requirements.lock has it

# Prints what was imported, and what came of calls; argument 1: directory with dkimpy, or "".
SCRIPT = """
import sys
sys.path[:0] = list(filter(None, sys.argv[1:2])) + [sys.argv[2]]
from lib.verifying import dkimpy
slow = [name for name in ("logging", "traceback", "threading", "dns", "nacl", "authres")
        if name in sys.modules]
tags = dkimpy.tag_list(b"v=1; a=rsa-sha256; d=example.com; h=from; s=s1; b=x; bh=x")
dkimpy.check_signature_tags(tags)
bodies = dkimpy.canonicalizations(b"relaxed/simple")
try:
    dkimpy.tag_list(b"v=1; v=1")
    fault = ""
except dkimpy.Malformed as malformed:
    fault = str(malformed)
import json, dkim
logger = dkim.DKIM(b"From: a@example.com\\r\\n\\r\\n").logger
print(json.dumps([dkim.__file__, slow, len(tags), bodies, fault, type(logger).__module__,
                  [type(handler).__module__ for handler in logger.handlers]]))
"""


@pytest.mark.parametrize("version", [check_packages.LEAST["dkimpy"], NEWEST])
def test_versions(tmp_path, version):
    """logging is imported once dkimpy makes a logger, and then it is the real one."""
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target",
                           tmp_path, f"dkimpy=={version}"], capture_output=True)
    if done.returncode:
        pytest.skip("needs pip, and an index of packages")
    # pip does not under PYTHONDONTWRITEBYTECODE; and 1.1.4 has escapes that compilers warn of.
    subprocess.run([sys.executable, "-m", "compileall", "-q", tmp_path], capture_output=True,
                   check=True)
    done = subprocess.run([sys.executable, "-IS", "-W", "error", "-c", SCRIPT, tmp_path, CHECKOUT],
                          capture_output=True, text=True)
    assert done.stderr == ""
    path, slow, *seen = json.loads(done.stdout)
    assert path.startswith(str(tmp_path)) and not slow
    assert seen == [7, ["relaxed", "simple"], "not a tag list", "logging", ["logging"]]
