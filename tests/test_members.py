import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from cutline.members import first_of_each, folders_of

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
    assert np.array_equal(first_of_each(chunked, folders), expected)


@given(st.lists(PATHS))
def test_folders_are_all_that_stands_before_a_slash(paths):
    nested = [path for path in paths if b"/" in path]
    assert folders_of(nested) == every_folder(paths)
