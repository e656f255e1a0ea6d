"""Servers in these tests are asked again at once."""

import pytest

from cutline.sources import server_refusals


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(server_refusals, "PAUSES", (0.0,) * len(server_refusals.PAUSES))
