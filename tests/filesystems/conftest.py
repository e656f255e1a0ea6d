"""File systems made for the tests: real ones that are mounted, and odd ones by preload."""

import ctypes
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from places import REAL, needs, run

ODD = Path(__file__).parent / "odd_filesystem.c"


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """The library that makes a file system odd, compiled."""
    needs("cc")
    library = tmp_path_factory.mktemp("odd") / "odd.so"
    run("cc", "-shared", "-fPIC", "-o", library, ODD, "-ldl")
    ctypes.CDLL(os.fspath(library))
    return library


@pytest.fixture
def place(request, tmp_path):
    """A folder on a file system of the kind that the test names."""
    with ExitStack() as stack:
        yield stack.enter_context(REAL[request.param](tmp_path))
