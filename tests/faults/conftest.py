"""The tests that kill: `make test-faults`."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.faults)
