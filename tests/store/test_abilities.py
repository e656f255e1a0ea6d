"""What a file system can do is tried, not believed."""

import errno
import os
import stat

import pytest

from cutline.errors import CutlineError
from cutline.store import abilities
from cutline.store.disk import publish
from cutline.store.small_files import SmallFiles
from cutline.store.trouble import StorageError
from cutline.store.workspace import Workspace
from trees import tree


@pytest.fixture
def staging(tmp_path):
    os.mkdir(tmp_path / "staging")
    return os.fspath(tmp_path / "staging")


def failing(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def no_sync_of_folders(monkeypatch, number):
    real = os.fsync

    def fsync(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            failing(number)()
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)


def test_nothing_is_left_where_it_was_tried(tmp_path, staging):
    with SmallFiles(os.fspath(tmp_path), staging):
        assert tree(tmp_path) == {"staging": None}


def test_a_linked_file_that_is_gone_once_it_is_closed_is_found_out_before_any_is_lost(
    tmp_path, staging, monkeypatch
):
    link, close = os.link, os.close
    unnamed = {}

    def linked(source, name, *, dst_dir_fd, **way):
        link(source, name, dst_dir_fd=dst_dir_fd, **way)
        folder = os.readlink(f"/proc/self/fd/{dst_dir_fd}")
        if source.startswith("/proc/"):
            unnamed[int(os.path.basename(source))] = f"{folder}/{name}"

    def closed(file):  # as JuiceFS 1.4 does with a file that was made without a name
        close(file)
        if file in unnamed:
            os.unlink(unnamed.pop(file))

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "close", closed)
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        assert files.put("a/x.txt", b"x") == "written"
        assert files.put("y.txt", b"y") == "written"
        assert files.put("y.txt", b"y") == "unchanged"
    assert tree(tmp_path) == {"a": None, "a/x.txt": b"x", "staging": None, "y.txt": b"y"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT, errno.ENOSYS])
def test_where_nothing_can_be_linked_files_are_renamed(tmp_path, staging, monkeypatch, number):
    monkeypatch.setattr(os, "link", failing(number))
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        assert [files.put("x.txt", data) for data in (b"1", b"1", b"22")] == [
            *("written", "unchanged", "replaced")
        ]
    assert tree(tmp_path) == {"x.txt": b"22", "staging": None}


def test_it_is_tried_once_a_run_and_nothing_is_asked_again_for_each_file(
    tmp_path, staging, monkeypatch
):
    asked = []
    monkeypatch.setattr(os, "link", lambda *_, **__: asked.append(1) or failing(errno.EPERM)())
    for _ in range(3):
        with SmallFiles(os.fspath(tmp_path), staging) as files:
            for name in "abc":
                files.put(name, b"x")
    assert len(asked) == 2  # with a first name and without


@pytest.mark.parametrize(
    ("resolution", "kept"), [(1, True), (100, False), (10**9, False), (2 * 10**9, False)]
)
def test_a_file_system_that_keeps_no_nanoseconds_is_told_from_one_that_does(
    tmp_path, staging, monkeypatch, resolution, kept
):
    utime = os.utime

    def coarse(file, *, ns):
        utime(file, ns=tuple(time // resolution * resolution for time in ns))

    monkeypatch.setattr(os, "utime", coarse)
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        assert files.keeps_nanoseconds == kept


def test_a_file_system_on_which_nobody_sets_times_keeps_none_and_is_good_for_files(
    tmp_path, staging, monkeypatch
):
    monkeypatch.setattr(os, "utime", failing(errno.EPERM))
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        assert not files.keeps_nanoseconds
        assert files.put("a", b"x") == "written"
    assert tree(tmp_path) == {"a": b"x", "staging": None}


def test_a_file_system_that_cannot_replace_a_file_in_one_step_is_refused(
    tmp_path, staging, monkeypatch
):
    monkeypatch.setattr(os, "rename", failing(errno.EEXIST))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CutlineError, match="in one step, so files could be lost: name a folder"):
        SmallFiles(os.fspath(tmp_path), staging)
    assert tree(tmp_path) == {"staging": None}
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_system_that_lets_two_make_one_file_is_refused(tmp_path, staging, monkeypatch):
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *more, **way: real(path, flags & ~os.O_EXCL, *more, **way)
    )
    with pytest.raises(CutlineError, match="lets two processes make one file, so files could"):
        SmallFiles(os.fspath(tmp_path), staging)


def test_small_files_of_a_run_that_is_over_are_refused_at_once(tmp_path, staging):
    os.rmdir(staging)
    with pytest.raises(CutlineError, match="This run is over"):
        SmallFiles(os.fspath(tmp_path), staging)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_folder_that_cannot_be_synced_is_told_once_a_job_and_passed_over(
    tmp_path, monkeypatch, number
):
    no_sync_of_folders(monkeypatch, number)
    said = []
    workspace = Workspace(os.fspath(tmp_path / "work"))
    with workspace.locked(said.append) as staging:
        for name in "abc":
            with publish(os.fspath(tmp_path / name), staging) as file:
                file.write(b"x")
    (line,) = said
    assert line.startswith(f"The file system of {workspace.folder} cannot sync folders")
    assert tree(tmp_path) == {"a": b"x", "b": b"x", "c": b"x"}


def test_a_disk_that_fails_to_sync_a_folder_is_not_passed_over(tmp_path, monkeypatch):
    no_sync_of_folders(monkeypatch, errno.EIO)
    workspace = Workspace(os.fspath(tmp_path / "work"))
    with pytest.raises(StorageError, match="check the disk"), workspace.locked(print):
        pass


def test_a_file_that_is_not_there_once_it_is_published_is_an_error(tmp_path, staging, monkeypatch):
    real = os.replace

    def losing(source, target):
        real(source, target)
        os.unlink(target)

    monkeypatch.setattr(os, "replace", losing)
    with (
        pytest.raises(StorageError, match="x cannot be written: No such file"),
        publish(os.fspath(tmp_path / "x"), staging) as file,
    ):
        file.write(b"x")


@pytest.fixture
def on_fuse(monkeypatch):
    monkeypatch.setattr(abilities, "file_system_of", lambda _: "fuse.juicefs")


def test_on_fuse_no_file_without_a_name_is_tried(tmp_path, staging, on_fuse, monkeypatch):
    real = os.open

    def opened(path, flags, *mode, **folder):
        assert flags & os.O_TMPFILE != os.O_TMPFILE  # JuiceFS would keep its name for ever
        return real(path, flags, *mode, **folder)

    monkeypatch.setattr(os, "open", opened)
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        files.put("a.txt", b"A fox.")
    assert (tmp_path / "a.txt").read_bytes() == b"A fox."


def test_on_fuse_a_new_file_is_linked_and_one_that_is_there_renamed(
    tmp_path, staging, on_fuse, monkeypatch
):
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        with monkeypatch.context() as without:
            without.setattr(os, "rename", failing(errno.EIO))
            assert files.put("a/new.txt", b"A fox.") == "written"
            assert files.put("a/other.txt", b"An owl.") == "written"
            (tmp_path / "a/there.txt").write_bytes(b"of somebody")
            assert files.put("a/there.txt", b"A fox.", lambda *_: "edited") == "edited"
        assert files.put("a/other.txt", b"A fox.") == "replaced"
    made = {"new": b"A fox.", "there": b"of somebody", "other": b"A fox."}
    files_of_a = {f"a/{name}.txt": data for name, data in made.items()}
    assert tree(tmp_path) == {"a": None, **files_of_a, "staging": None}
    assert all(os.stat(tmp_path / path).st_nlink == 1 for path in files_of_a)


def test_on_fuse_no_file_takes_the_place_of_one_that_comes_meanwhile(
    tmp_path, staging, on_fuse, monkeypatch
):
    real = os.link

    def late(source, name, **folders):
        (tmp_path / name).write_bytes(b"of somebody")
        real(source, name, **folders)

    with SmallFiles(os.fspath(tmp_path), staging) as files:
        files.put("first", b"x")
        monkeypatch.setattr(os, "link", late)
        assert files.put("a", b"A fox.", lambda *_: "edited") == "edited"
    assert tree(tmp_path) == {"a": b"of somebody", "first": b"x", "staging": None}


@pytest.mark.parametrize("fault", ["is gone with its first name", "is empty"])
def test_links_that_are_none_are_found_out_and_files_are_renamed(
    tmp_path, staging, on_fuse, monkeypatch, fault
):
    link, unlink = os.link, os.unlink

    def linked(source, name, **folders):
        if fault == "is empty":
            os.close(os.open(name, os.O_CREAT | os.O_EXCL, dir_fd=folders["dst_dir_fd"]))
            return
        link(source, name, **folders)

    def unlinked(path, **folder):
        unlink(path, **folder)
        if fault == "is gone with its first name" and "/" in path:
            unlink(os.path.basename(path), **folder)

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "unlink", unlinked)
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        monkeypatch.setattr(os, "link", failing(errno.EIO))
        assert [files.put("x", data) for data in (b"1", b"1", b"22")] == [
            *("written", "unchanged", "replaced")
        ]
    assert tree(tmp_path) == {"x": b"22", "staging": None}


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_a_link_is_refused_after_all_the_file_is_renamed(
    tmp_path, staging, on_fuse, monkeypatch, number
):
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        refusals = []
        monkeypatch.setattr(os, "link", lambda *_, **__: refusals.append(1) or failing(number)())
        (tmp_path / "there").write_bytes(b"of somebody")
        assert files.put("there", b"A fox.", lambda *_: "edited") == "edited"
        assert [files.put(name, b"x") for name in "abc"] == ["written"] * 3
    assert len(refusals) == 1
    files = {"there": b"of somebody"} | dict.fromkeys("abc", b"x")
    assert tree(tmp_path) == {**files, "staging": None}
