"""The tests that kill: `make test-faults`."""

import pytest

collect_ignore = ["faulty_folder.py"]  # a program, which needs FUSE's library


def pytest_collection_modifyitems(items):
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.faults)
