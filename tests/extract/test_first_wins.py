import tracemalloc

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from cutline.extract.first_wins import _first_of_each, _folders_among

PATHS = st.lists(st.sampled_from(b"abc"), min_size=1, max_size=3).map(
    lambda steps: b"/".join(bytes([step]) for step in steps)
)


def every_folder(paths):
    """The oracle: all that stands before a slash."""
    return {path[:at] for path in paths for at in range(len(path)) if path[at : at + 1] == b"/"}


@given(st.lists(PATHS), st.lists(PATHS, max_size=2))
def test_the_first_of_each_path_is_a_file_unless_it_is_a_folder(paths, folders):
    taken = every_folder(paths) | every_folder(folders) | set(folders)
    expected = [
        path not in paths[:position] and path not in taken for position, path in enumerate(paths)
    ]
    chunked = pa.chunked_array([pa.array(paths, pa.binary())])
    assert np.array_equal(_first_of_each(chunked, folders), expected)


@given(st.lists(PATHS))
def test_a_path_is_a_folder_if_another_goes_through_it(paths):
    nested = [path for path in paths if b"/" in path]
    found = _folders_among(nested)
    assert found <= every_folder(paths)
    assert found & set(paths) == every_folder(paths) & set(paths)


def test_a_path_of_many_folders_takes_no_more_memory_than_itself():
    paths = [b"%d/" % number + b"a/" * 2000 + b"x" for number in range(200)]
    tracemalloc.start()
    assert len(_folders_among(paths)) == 200
    assert tracemalloc.get_traced_memory()[1] < 10 * sum(map(len, paths))
    tracemalloc.stop()
