"""Headless chromium, as Debian packages it, and jobs that stand still while it looks."""

import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))  # processes.py

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open pages of a dashboard, and close them at the end."""
    pages = []

    def open_page(link, name):
        page = browser.new_page(viewport={"width": 1280, "height": 960})
        pages.append(page)
        page.set_default_timeout(120_000)
        page.goto(f"{link.rpartition('/')[0]}/{name}")
        return page

    yield open_page
    for page in pages:
        page.close()
