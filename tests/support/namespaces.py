# SPDX-License-Identifier: MIT
"""Whether a test can have file systems of its own: as root on Linux, but not in every chroot."""

import shutil
import subprocess

import pytest


def can_mount():
    return bool(shutil.which("unshare")) and not subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True).returncode


needs_mounts = pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
