"""Headless chromium, as Debian packages it."""

import os
from contextlib import contextmanager

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
