"""Headless chromium, as Debian packages it."""

import os
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

PROGRAM = "/usr/bin/chromium"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def is_installed():
    return os.path.exists(PROGRAM)


@contextmanager
def launched():
    """Start it, and close it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        yield browser
        browser.close()


@cache
def axe():
    """Fetch axe-core, which finds what people cannot read; None without npm."""
    if shutil.which("npm") is None:
        return None
    with TemporaryDirectory() as folder:
        pack = ["npm", "pack", "--silent", "axe-core@4"]
        name = subprocess.run(pack, cwd=folder, capture_output=True, text=True, check=True).stdout
        with tarfile.open(f"{folder}/{name.strip()}") as package:
            return package.extractfile("package/axe.min.js").read().decode()


def unreadable(page, *rules):
    """Return what axe-core finds wrong with a page, by all rules or some: what and where."""
    page.evaluate(axe())
    found = page.evaluate("options => axe.run(options)", {"runOnly": rules} if rules else {})
    found = found["violations"]
    return [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found]
