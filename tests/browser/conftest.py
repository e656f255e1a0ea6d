"""Headless chromium, as Debian packages it, and jobs that stand still while it looks."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # what all tests share

from chromium import launched


@pytest.fixture(scope="session")
def browser():
    with launched() as browser:
        yield browser


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
