# SPDX-License-Identifier: MIT
"""Loads pages in a headless Chromium, if Debian's package is installed."""

import shutil
import subprocess

import pytest

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars"]


def program():
    """Returns the path of Chromium; skips the test if it is missing."""
    return shutil.which("chromium") or pytest.skip("needs chromium")


def document(directory, page):
    """Returns the document of a page as Chromium has it, after its scripts; str."""
    return run(directory, page, "--window-size=1280,1000", "--dump-dom",
               "--allow-file-access-from-files", "--virtual-time-budget=5000")


def run(directory, page, *arguments):
    """Loads a page (a path) with a new profile in directory.  Returns what Chromium says, str."""
    done = subprocess.run(
        [program(), *FLAGS, f"--user-data-dir={directory}/profile", *arguments, f"file://{page}"],
        capture_output=True, text=True, timeout=120, check=True, env={
            "HOME": str(directory), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(directory)})
    return done.stdout


def screenshot(directory, page, width, height):
    """Returns the path of a picture of a page, PNG."""
    path = directory / "screenshot.png"
    run(directory, page, f"--window-size={width},{height}", f"--screenshot={path}")
    return path
