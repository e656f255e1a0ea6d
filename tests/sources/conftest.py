"""Servers in these tests are asked again at once."""

import pytest

from cutline.sources import asking


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(asking, "PAUSES", (0.0,) * len(asking.PAUSES))
