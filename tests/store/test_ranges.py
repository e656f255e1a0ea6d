import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline.store.disk import copy_range

CONTENT = bytes(n * n % 251 for n in range(3_000_000))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two open files: one to copy from, and one to copy to."""
    folder = tmp_path_factory.mktemp("ranges")
    (folder / "source").write_bytes(CONTENT)
    source = os.open(folder / "source", os.O_RDONLY)
    target = os.open(folder / "target", os.O_RDWR | os.O_CREAT)
    yield source, target
    os.close(source)
    os.close(target)


@pytest.fixture(params=["copy_file_range", "sendfile", "read and write"])
def way(request, monkeypatch):
    """Each way to copy, and those before it refused as a file system does that cannot."""

    def refuses(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if request.param != "copy_file_range":
        monkeypatch.setattr(os, "copy_file_range", refuses)
    if request.param == "read and write":
        monkeypatch.setattr(os, "sendfile", refuses)
    return request.param


@pytest.mark.parametrize("span", [(0, 0), (1, 1), (511, 100_001), (0, len(CONTENT))])
def test_a_piece_is_copied_to_the_end_of_a_file(way, span, files):
    source, target = files
    os.ftruncate(target, 0)
    os.lseek(target, 0, os.SEEK_SET)
    os.write(target, b"before")
    assert copy_range(source, *span, target) == span[1]
    assert os.pread(target, len(CONTENT) + 99, 0) == b"before" + CONTENT[span[0] :][: span[1]]


def test_of_a_piece_that_is_not_all_there_what_is_there_is_copied(way, files):
    source, target = files
    assert copy_range(source, len(CONTENT) - 5, 6, target) == 5
    assert copy_range(source, len(CONTENT), 6, target) == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_a_kernel_that_copies_less_than_it_is_asked_is_asked_again(sizes):
    real = os.copy_file_range
    limits = iter(sizes)

    def some(source, target, size, offset_src):
        return real(source, target, min(size, next(limits, 5)), offset_src=offset_src)

    with pytest.MonkeyPatch.context() as patch, open("/proc/self/exe", "rb") as source:
        target = os.memfd_create("target")
        patch.setattr(os, "copy_file_range", some)
        copy_range(source.fileno(), 3, 60, target)
        assert os.pread(target, 99, 0) == os.pread(source.fileno(), 60, 3)
        os.close(target)


def test_an_error_that_is_not_about_the_way_is_raised(files, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="No space"):
        copy_range(*(files[0], 0, 1, files[1]))
