import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline.errors import CutlineError, UsageError
from cutline.store.disk import publish, remove
from cutline.store.lock import Owner, boot_id, name_once, read_owner, start_time
from cutline.store.small_files import SmallFiles
from cutline.store.table_files import TableFiles
from cutline.store.trouble import StorageError
from cutline.store.workspace import Workspace
from trees import tree


def silent(line):
    """Say nothing."""


# Publishing


@pytest.fixture
def staging(tmp_path):
    os.mkdir(tmp_path / "staging")
    return os.fspath(tmp_path / "staging")


def put(path, data, staging=None):
    with publish(os.fspath(path), staging) as file:
        file.write(data)


@pytest.mark.parametrize("old", [None, b"", b"something older and longer"])
def test_a_file_is_published_whole_and_leaves_nothing_else(tmp_path, staging, old):
    if old is not None:
        (tmp_path / "x").write_bytes(old)
    put(tmp_path / "x", b"new", staging)
    assert tree(tmp_path) == {"x": b"new", "staging": None}


def test_without_a_staging_folder_the_attempt_is_a_hidden_file_beside(tmp_path):
    with publish(os.fspath(tmp_path / "x")) as file:
        (attempt,) = tree(tmp_path)
        assert attempt.startswith(".x.")
        file.write(b"new")
    assert tree(tmp_path) == {"x": b"new"}


def test_a_file_is_not_there_under_its_name_until_it_is_whole(tmp_path, staging):
    (tmp_path / "x").write_bytes(b"old")
    with publish(os.fspath(tmp_path / "x"), staging) as file:
        file.write(b"half")
        file.flush()
        assert (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("hidden", [True, False])
def test_publishing_that_fails_leaves_what_was_there(tmp_path, staging, error, hidden):
    def fail():
        with publish(os.fspath(tmp_path / "x"), None if hidden else staging) as file:
            file.write(b"half")
            raise error

    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == {"x": b"old", "staging": None}
    os.remove(tmp_path / "x")
    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == {"staging": None}


def test_a_name_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path, staging):
    os.mkdir(tmp_path / "folder")
    with pytest.raises(CutlineError, match="folder cannot be written: Is a directory"):
        put(tmp_path / "folder", b"new", staging)
    assert tree(tmp_path) == {"folder": None, "staging": None}
    with pytest.raises(CutlineError, match="cannot be written: No such file or directory"):
        put(tmp_path / "nothing" / "x", b"new")


def test_attempts_at_the_same_name_do_not_meet(tmp_path, staging):
    with publish(os.fspath(tmp_path / "x"), staging) as one:
        one.write(b"one")
        put(tmp_path / "x", b"two", staging)
    assert tree(tmp_path) == {"x": b"one", "staging": None}


def test_what_a_killed_process_left_beside_a_name_is_removed_and_nothing_else(tmp_path):
    others = {f".xy.{'0' * 40}": b"of another name", f".x.{'0' * 40}": b"of another host"}
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
    with suppress(SystemExit), publish(os.fspath(tmp_path / "x")):
        (attempt,) = {*tree(tmp_path)} - {*others}
        raise SystemExit
    left = tmp_path / (attempt[:-32] + "0" * 32)
    left.write_bytes(b"half")
    with publish(os.fspath(tmp_path / "x")) as file:
        assert not left.exists()
        put(tmp_path / "x", b"another one at the same time")
        file.write(b"this")
    assert tree(tmp_path) == {"x": b"this", **others}


def test_an_attempt_that_somebody_takes_for_a_dead_ones_is_begun_again(tmp_path, monkeypatch):
    locks = []
    lock = fcntl.flock

    def removed_before(file, how):
        if not locks:
            os.unlink(file.name)
        locks.append(how)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_before)
    put(tmp_path / "x", b"all of it")
    assert tree(tmp_path) == {"x": b"all of it"}
    assert len(locks) == 2


def test_an_attempt_is_held_until_it_has_its_name(tmp_path, monkeypatch):
    replace = os.replace

    def while_it_is_held(attempt, path):
        with open(attempt, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        replace(attempt, path)

    monkeypatch.setattr(os, "replace", while_it_is_held)
    put(tmp_path / "x", b"all of it")
    assert tree(tmp_path) == {"x": b"all of it"}


def test_removing_what_is_gone_is_no_error(tmp_path):
    remove(os.fspath(tmp_path / "nothing"))


# Names


def test_a_path_that_is_not_utf8_is_refused(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(folder)
    with pytest.raises(UsageError, match="is not UTF-8: give it another name"):
        TableFiles.of(f"{folder}/t.parquet")


def test_every_name_follows_the_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = TableFiles.of("my.set.parquet")
    folder = os.fspath(tmp_path)
    assert outputs.table == f"{folder}/my.set.parquet"
    assert outputs.parts == f"{folder}/my.set.parts"
    assert outputs.ledger == f"{folder}/my.set.rejects.parquet"
    assert outputs.part(7) == f"{folder}/my.set.parts/part-00007.parquet"
    assert outputs.workspace.folder == f"{folder}/my.set.cutline"
    assert (
        outputs
        == TableFiles.of(tmp_path / "my.set.parquet")
        == TableFiles.of(f"file://{outputs.table}")
    )


def test_part_names_sort_as_their_numbers_do_and_are_told_from_other_names():
    names = [TableFiles.part_name(number) for number in (0, 9, 10, 99_999)]
    assert names == sorted(names)
    assert all(map(TableFiles.is_part_name, [*names, TableFiles.part_name(100_000)]))
    others = [
        "part-0.parquet",
        "part-00000.parquet.1",
        "xpart-00000.parquet",
        "part-00000.parquet\n",
    ]
    assert not any(map(TableFiles.is_part_name, [*others, "part-0000a.parquet"]))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("s3://bucket/t.parquet", "is a URL: name a file on a disk"),
        ("t.csv", r"add \.parquet"),
        ("t", r"add \.parquet"),
        (".parquet", r"add \.parquet"),
        ("nothing/t.parquet", "is not there: make it first"),
        ("folder.parquet", "is a folder: name a file"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_the_mend(tmp_path, monkeypatch, table, said):
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder.parquet")
    with pytest.raises(UsageError, match=said):
        TableFiles.of(table)


def test_outputs_are_removed_without_a_trace(tmp_path):
    (tmp_path / "mine").write_text("stays")
    outputs = TableFiles.of(tmp_path / "t.parquet")
    outputs.workspace.make()
    outputs.make_folders()
    for path in (outputs.plan, outputs.merged, outputs.part(0), outputs.table, outputs.ledger):
        Path(path).write_text("x")
    Path(outputs.part_rejects(0, "abc")).write_text("x")
    outputs.remove()
    outputs.remove()
    assert tree(tmp_path) == {"mine": b"stays"}


# Small files

FRESH = ("new.txt", "sub/new.txt", "a/b/c/new.txt")


@pytest.fixture(params=["tmpfile", "no tmpfile"])
def small(request, tmp_path, staging, monkeypatch):
    """A folder to put small files into; once as on a file system that has no O_TMPFILE."""
    if request.param == "no tmpfile":
        monkeypatch.setattr(os, "open", without_tmpfile(os.open))
    os.mkdir(tmp_path / "data")
    with SmallFiles(os.fspath(tmp_path / "data"), staging) as files:
        yield files
    assert os.listdir(staging) == []


def attempts_in(staging):
    """What was written and has no name yet; each thread has a folder for it."""
    return [name for _, _, names in os.walk(staging) for name in names]


def without_tmpfile(real):
    def refuse(path, flags, *args, **keywords):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *args, **keywords)

    return refuse


def test_a_small_file_is_written_then_unchanged_then_replaced(small, staging, tmp_path):
    for path in FRESH:
        assert small.put(path, b"one") == "written"
        assert small.put(path, b"one") == "unchanged"
        assert small.put(path, b"one more") == "replaced"
        assert small.put(path, b"on") == "replaced"
        assert (tmp_path / "data" / path).read_bytes() == b"on"
    assert not attempts_in(staging)
    assert sum(data is not None for data in tree(tmp_path / "data").values()) == len(FRESH)


def test_an_unchanged_file_is_not_touched(small, tmp_path):
    small.put("a.txt", b"one")
    os.utime(tmp_path / "data" / "a.txt", ns=(0, 1))
    before = os.stat(tmp_path / "data" / "a.txt")
    assert small.put("a.txt", b"one") == "unchanged"
    after = os.stat(tmp_path / "data" / "a.txt")
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, 1)


def test_a_small_file_is_one_that_others_may_read(small, tmp_path):
    mask = os.umask(0o022)
    try:
        small.put("new.txt", b"one")
        small.put("new.txt", b"two")
        small.put("other.txt", b"one")
    finally:
        os.umask(mask)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == {0o644}


def test_a_large_small_file_is_written_whole(small, tmp_path):
    data = os.urandom(3_000_000)
    small.put("a.txt", data)
    assert (tmp_path / "data" / "a.txt").read_bytes() == data
    assert small.put("a.txt", data) == "unchanged"


def test_the_folder_at_hand_follows_the_path(small, tmp_path):
    for path in ("a/1", "a/2", "b/1", "1", "a/3", "a/a/1", "a/4"):
        small.put(path, path.encode())
    assert {path: data for path, data in tree(tmp_path / "data").items() if data is not None} == {
        path: path.encode() for path in ("1", "a/1", "a/2", "a/3", "a/4", "a/a/1", "b/1")
    }


# Nothing leads out of the folder


@pytest.fixture
def outside(tmp_path):
    """A folder outside, of which nothing may change."""
    folder = tmp_path / "outside"
    os.mkdir(folder)
    (folder / "victim.txt").write_bytes(b"victim")
    before = tree(folder)
    yield folder
    assert tree(folder) == before


@pytest.mark.parametrize("target", ["victim.txt", "new.txt", "."])
def test_a_link_at_the_name_is_replaced_and_not_followed(small, tmp_path, outside, target):
    os.symlink(outside / target, tmp_path / "data" / "a.txt")
    assert small.put("a.txt", b"caption") == "replaced"
    assert tree(tmp_path / "data") == {"a.txt": b"caption"}


def test_a_link_to_the_very_bytes_is_replaced_too(small, tmp_path, outside):
    os.symlink(outside / "victim.txt", tmp_path / "data" / "a.txt")
    assert small.put("a.txt", b"victim") == "replaced"
    assert not (tmp_path / "data" / "a.txt").is_symlink()


@pytest.mark.parametrize("path", ["link/victim.txt", "link/new.txt", "sub/link/new.txt"])
def test_a_link_for_a_folder_is_not_entered(small, tmp_path, outside, path):
    os.mkdir(tmp_path / "data" / "sub")
    for place in ("link", "sub/link"):
        os.symlink(outside, tmp_path / "data" / place)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        small.put(path, b"caption")
    assert small.put("sub/after.txt", b"caption") == "written"


@pytest.mark.parametrize(
    "path",
    ["../new.txt", "../outside/victim.txt", "sub/../../outside/new.txt", "..", "sub/..", ".",
     "/new.txt", "//new.txt", "sub//new.txt", "", "./../outside/new.txt"],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(small, tmp_path, outside, path):
    with suppress(OSError):
        small.put(path, b"caption")
    assert {name for name in tree(tmp_path) if not name.startswith(("data", "staging/"))} == {
        "outside",
        "outside/victim.txt",
        "staging",
    }


def test_a_folder_at_the_name_is_left_alone(small, staging, tmp_path):
    (tmp_path / "data" / "a.txt").mkdir()
    (tmp_path / "data" / "a.txt" / "mine").write_text("stays")
    with pytest.raises(IsADirectoryError):
        small.put("a.txt", b"caption")
    assert tree(tmp_path / "data") == {"a.txt": None, "a.txt/mine": b"stays"}
    assert not attempts_in(staging)


def test_a_file_where_a_folder_should_be_is_left_alone(small, tmp_path):
    (tmp_path / "data" / "sub").write_bytes(b"file")
    with pytest.raises(NotADirectoryError):
        small.put("sub/a.txt", b"caption")
    assert tree(tmp_path / "data") == {"sub": b"file"}


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK], ids=["pipe", "socket"])
def test_what_is_no_file_at_the_name_is_replaced_and_nobody_waits_for_it(small, tmp_path, kind):
    os.mknod(tmp_path / "data" / "a.txt", kind | 0o600)
    assert small.put("a.txt", b"caption") == "replaced"
    assert tree(tmp_path / "data") == {"a.txt": b"caption"}


names = st.text("ab.", min_size=1, max_size=3) | st.sampled_from(["..", ".", "link", "sub", "\n"])


@settings(max_examples=100)
@given(st.lists(st.lists(names, min_size=1, max_size=4).map("/".join), max_size=6))
def test_whatever_is_put_outside_stays_as_it_was(tmp_path_factory, paths):
    folder = tmp_path_factory.mktemp("small")
    for name in ("staging", "outside", "data", "data/sub"):
        os.mkdir(folder / name)
    (folder / "outside" / "victim").write_bytes(b"victim")
    os.symlink(folder / "outside", folder / "data" / "link")
    os.symlink(folder / "outside" / "victim", folder / "data" / "a")
    expected = set()
    with SmallFiles(os.fspath(folder / "data"), os.fspath(folder / "staging")) as files:
        for path in paths:
            try:
                files.put(path, b"caption")
            except OSError:
                continue
            expected.add(path)
    for path in expected:
        assert (folder / "data" / path.lstrip("/")).read_bytes() == b"caption"
    assert tree(folder / "outside") == {"victim": b"victim"}
    assert set(os.listdir(folder)) == {"staging", "outside", "data"}
    assert os.listdir(folder / "staging") == []


def test_many_workers_may_put_the_same_files_at_once(tmp_path, staging):
    os.mkdir(tmp_path / "data")
    told = []

    def work():
        with SmallFiles(os.fspath(tmp_path / "data"), staging) as files:
            told.extend(files.put(f"{n % 7}/{n}/{n}.txt", str(n).encode()) for n in range(60))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 240
    files = {path: data for path, data in tree(tmp_path / "data").items() if data is not None}
    assert files == {f"{n % 7}/{n}/{n}.txt": str(n).encode() for n in range(60)}
    assert os.listdir(staging) == []


def test_a_file_that_another_worker_makes_meanwhile_is_replaced(small, tmp_path, monkeypatch):
    (tmp_path / "data" / "a.txt").write_bytes(b"his")
    monkeypatch.setattr(small._hand, "open", lambda *_: None)  # it was not there yet
    assert small.put("a.txt", b"mine") == "written"
    assert tree(tmp_path / "data") == {"a.txt": b"mine"}


def test_a_folder_that_another_worker_makes_meanwhile_is_used(small, tmp_path, monkeypatch):
    make = os.mkdir

    def make_after_him(name, dir_fd=None):
        make(name, dir_fd=dir_fd)
        if dir_fd is not None:  # and not the folder for attempts, which has a name of its own
            make(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", make_after_him)
    assert small.put("sub/a.txt", b"mine") == "written"
    assert tree(tmp_path / "data") == {"sub": None, "sub/a.txt": b"mine"}


def test_small_files_leave_nothing_open(tmp_path, staging):
    before = len(os.listdir("/proc/self/fd"))
    with SmallFiles(os.fspath(tmp_path), staging) as files:
        files.put("a/b/c", b"1")
        files.put("a/b/c", b"2")
        for path in ("a/b/c/d", "a/b"):
            with pytest.raises(OSError, match="directory"):
                files.put(path, b"1")
    assert len(os.listdir("/proc/self/fd")) == before


# The lock


@pytest.fixture
def workspace(tmp_path):
    return Workspace(os.fspath(tmp_path / "work"))


def held_by(workspace, **changes):
    """Let somebody else hold the lock; the changes say how he differs from this process."""
    workspace.make()
    owner = msgspec.structs.replace(Owner.here("another run"), **changes)
    Path(workspace.lock).write_bytes(msgspec.json.encode(owner))
    return owner


def test_a_lock_is_held_inside_and_nothing_is_left_after_it(workspace, tmp_path):
    with workspace.locked(silent) as staging:
        owner = json.loads(Path(workspace.lock).read_bytes())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        assert staging == f"{workspace.attempts}/{owner['run']}"
        assert os.listdir(workspace.attempts) == [owner["run"]]
        assert os.listdir(staging) == []
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_lock_is_released_after_a_failure(workspace, tmp_path, error):
    with pytest.raises(error), workspace.locked(silent):
        raise error
    assert tree(tmp_path) == {}


def test_what_a_job_made_in_its_workspace_stays(workspace):
    with workspace.locked(silent):
        Path(workspace.folder, "plan").write_text("x")
    assert tree(workspace.folder) == {"plan": b"x"}


def test_a_second_run_is_refused_and_told_who_is_at_work(workspace):
    with workspace.locked(silent):
        owner = read_owner(workspace.lock)
        with pytest.raises(CutlineError) as caught, workspace.locked(silent):
            pass
        assert read_owner(workspace.lock) == owner
    said = str(caught.value)
    assert f"process {os.getpid()} on {socket.gethostname()} since 20" in said
    assert said.endswith(": wait for it to end.")


def test_a_lock_is_held_where_a_file_has_one_name_only(workspace, monkeypatch):
    def link(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")  # as FAT says

    monkeypatch.setattr(os, "link", link)
    with workspace.locked(silent):
        assert read_owner(workspace.lock).pid == os.getpid()
        with pytest.raises(CutlineError, match="Another run is at work"), workspace.locked(silent):
            pass
        claim = Path(workspace.attempts, "claim")
        claim.write_bytes(b"{}")
        with pytest.raises(FileExistsError):  # of two at once, one has it
            name_once(str(claim), workspace.lock)
    assert not os.path.exists(workspace.lock)


def test_a_run_goes_on_undisturbed_after_a_second_one_was_refused(workspace):
    with workspace.locked(silent) as staging:
        with pytest.raises(CutlineError), workspace.locked(silent):
            pass
        put(f"{workspace.folder}/plan", b"x", staging)


def test_a_run_in_another_process_is_refused_while_that_one_lives_and_not_when_it_was_killed(
    workspace,
):
    code = (
        "import sys; from cutline.store import Workspace\n"
        "with Workspace(sys.argv[1]).locked(print): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, workspace.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(CutlineError, match=f"process {other.pid} on "),
            workspace.locked(silent),
        ):
            pass
        (run,) = os.listdir(workspace.attempts)
        Path(workspace.attempts, run, "half a part").write_text("x")
        other.kill()
    told = []
    with workspace.locked(told.append) as staging:
        assert os.listdir(workspace.attempts) == [os.path.basename(staging)] != [run]
        assert os.listdir(staging) == []
    assert told == [told[0]]
    assert f"Took the lock over from process {other.pid} on " in told[0]


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": ended_process()},
        {"boot": "of yesterday"},
        {"started": 1},
        {"pid": 1, "started": 1},
    ],
    ids=["it ended", "the machine was started again", "its number is mine now", "or another's"],
)
def test_the_lock_of_a_dead_run_is_taken_over(workspace, tmp_path, changes):
    owner = held_by(workspace, **changes)
    told = []
    with workspace.locked(told.append):
        pass
    assert told == [f"Took the lock over from {owner}, which is gone."]
    assert tree(tmp_path) == {}


def test_the_lock_of_another_container_of_this_host_is_held(workspace):
    owner = held_by(workspace, processes="pid:[1]", pid=ended_process())
    with (
        pytest.raises(CutlineError, match="if it is dead, add --force-unlock"),
        workspace.locked(silent),
    ):
        pass
    assert read_owner(workspace.lock) == owner
    held_by(workspace, processes="pid:[1]", boot="of yesterday")
    with workspace.locked(silent):
        pass


def test_a_run_that_ends_takes_no_folder_from_one_that_begins(workspace):
    workspace.make()
    os.rmdir(workspace.attempts)
    assert os.path.isdir(workspace.staging("a-run"))


def test_a_zombie_is_dead():
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        process.stdout.read()  # until it ends; nobody has waited for it yet
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert os.path.exists(f"/proc/{process.pid}")
        assert start_time(process.pid) is None


def test_a_run_on_another_host_is_refused_and_the_mend_is_named(workspace):
    owner = held_by(workspace, host="elsewhere", pid=ended_process())
    with pytest.raises(CutlineError) as caught, workspace.locked(silent):
        pass
    said = str(caught.value)
    assert f"process {owner.pid} on elsewhere since " in said
    assert said.endswith(": wait for it to end; if it is dead, add --force-unlock.")
    assert read_owner(workspace.lock) == owner


def test_a_run_on_another_host_is_taken_over_by_force(workspace, tmp_path):
    held_by(workspace, host="elsewhere")
    with workspace.locked(silent, force=True) as staging:
        assert read_owner(workspace.lock).run == os.path.basename(staging)
    assert tree(tmp_path) == {}


def test_a_run_that_lost_its_lock_publishes_nothing_and_leaves_the_new_owners_things_alone(
    workspace,
):
    with workspace.locked(silent) as staging:
        with workspace.locked(silent, force=True) as second:
            owner = read_owner(workspace.lock)
            with pytest.raises(CutlineError, match="This run is over"):
                put(f"{workspace.folder}/plan", b"x", staging)
            put(f"{workspace.folder}/plan", b"y", second)
            Path(second, "attempt").write_text("x")
        Path(workspace.folder, "lock").write_bytes(msgspec.json.encode(owner))
    assert read_owner(workspace.lock) == owner
    assert Path(workspace.folder, "plan").read_text() == "y"


def test_an_attempt_that_was_begun_before_the_lock_was_lost_is_not_published(workspace):
    with workspace.locked(silent) as staging:
        late = publish(f"{workspace.folder}/part", staging)
        late.__enter__().write(b"old")
        with workspace.locked(silent, force=True) as second:
            put(f"{workspace.folder}/part", b"new", second)
            with pytest.raises(CutlineError, match="This run is over"):
                late.__exit__(None, None, None)
    assert Path(workspace.folder, "part").read_text() == "new"


# What dead runs leave behind


def left_behind(workspace):
    """A staging folder of a run that is dead, with an attempt in it."""
    workspace.make()
    folder = Path(workspace.attempts, "dead")
    folder.mkdir()
    (folder / "part.1").write_text("x")
    return folder


def as_on_nfs(monkeypatch):
    """Let a file that somebody has open stay under a name of its own, as an NFS client does."""
    unlink = os.unlink

    def busy(path, **options):
        if os.path.basename(path).startswith(".nfs"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", busy)


def test_folders_in_the_attempts_of_a_dead_run_are_removed_with_it(workspace, tmp_path):
    folder = left_behind(workspace)
    (folder / "somebody" / "made").mkdir(parents=True)
    (folder / "somebody" / "file").write_text("x")
    with workspace.locked(silent) as staging:
        assert os.listdir(workspace.attempts) == [os.path.basename(staging)]
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("place", ["attempts/link", "attempts/dead/link", "attempts/dead/sub/link"])
def test_a_link_among_the_attempts_is_removed_and_not_followed(workspace, tmp_path, outside, place):
    left_behind(workspace)
    link = Path(workspace.folder, place)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    with workspace.locked(silent):
        pass
    assert not os.path.lexists(workspace.folder)


def test_what_cannot_be_removed_of_a_dead_run_keeps_the_next_from_beginning(workspace, monkeypatch):
    folder = left_behind(workspace)
    (folder / ".nfs1").write_text("x")
    with monkeypatch.context() as patch:
        as_on_nfs(patch)
        with pytest.raises(CutlineError) as caught, workspace.locked(silent):
            pass
    said = str(caught.value)
    assert said.startswith(f"{folder} cannot be removed")
    assert said.endswith("end them, or remove the folder, and run this again.")
    assert os.listdir(folder) == [".nfs1"]  # all that can be is
    assert not os.path.exists(workspace.lock)
    with workspace.locked(silent):  # whoever had it open has ended
        assert not folder.exists()


def test_a_run_that_cannot_remove_its_attempts_ends_well_and_the_next_one_says_so(
    workspace, monkeypatch
):
    as_on_nfs(monkeypatch)
    with workspace.locked(silent) as staging:
        Path(staging, ".nfs1").write_text("x")
    assert not os.path.exists(workspace.lock)
    with (
        pytest.raises(CutlineError, match=f"{staging} cannot be removed"),
        workspace.locked(silent),
    ):
        pass


def test_a_late_worker_that_goes_on_and_on_publishes_nothing_once_another_run_has_begun(workspace):
    """Its staging folder is removed between two of its files, however many there are."""
    late = left_behind(workspace)
    target = Path(workspace.folder, "part")
    at_work, begun, published_late = threading.Event(), threading.Event(), []

    def work():
        said = ""
        while not said.startswith("This run is over"):  # and not only this attempt at a file
            after = begun.is_set()
            try:
                put(target, b"x", f"{late}")
            except CutlineError as error:
                said = str(error)
            else:
                at_work.set()
                published_late.append(after)

    worker = threading.Thread(target=work)
    worker.start()
    at_work.wait()
    with workspace.locked(silent):
        begun.set()
        worker.join()
        assert not late.exists()
    assert published_late
    assert not any(published_late)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            errno.ENOENT,
            "x cannot be read or written: .*: check that it is there on the host of every",
        ),
        (errno.EACCES, "x cannot be read or written: .*: get permission for it and run this again"),
        (errno.EROFS, "x cannot be written: .*: mount it for writing and run this again"),
    ],
)
def test_a_job_that_a_file_system_refuses_something_may_have_been_reading(workspace, number, said):
    with pytest.raises(StorageError, match=said), workspace.locked(silent):
        raise OSError(number, os.strerror(number), "/somewhere/x")


def test_what_a_file_system_refuses_a_job_is_said_with_what_the_job_still_needs(
    workspace, tmp_path
):
    of_job = Workspace(os.fspath(tmp_path / "of the job"))
    with (  # a job within a job, as that of the captions is
        pytest.raises(StorageError, match=r"y cannot be written: .*about 5 bytes are needed"),
        of_job.locked(silent),
        workspace.locked(silent, needed=lambda: 5),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", f"{tmp_path}/y")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("other", [b"", b"{}", b'{"run":"\xff"}'])
def test_what_is_no_lock_is_named(workspace, other):
    workspace.make()
    Path(workspace.lock).write_bytes(other)
    with pytest.raises(CutlineError, match="work/lock is not a lock of cutline: remove it"):
        workspace.locked(silent).__enter__()


def test_of_many_that_find_a_dead_owner_one_takes_over(workspace, monkeypatch):
    held_by(workspace, pid=ended_process())
    meeting = threading.Barrier(2)

    def read_and_meet(path):
        owner = read_owner(path)
        with suppress(threading.BrokenBarrierError):  # nobody comes: they are kept apart
            meeting.wait(0.2)
        return owner

    monkeypatch.setattr("cutline.store.lock.read_owner", read_and_meet)
    barrier = threading.Barrier(8)
    said = []

    def run():
        barrier.wait()
        try:
            with workspace.locked(silent):
                said.append("mine")
                barrier.wait()
        except CutlineError:
            said.append("refused")
            barrier.wait()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["mine"] + ["refused"] * 7


def test_a_lock_that_appears_at_the_last_moment_is_respected(workspace, monkeypatch):
    lock_file = "cutline.store.lock.read_owner"
    holder = held_by(workspace, host="elsewhere")
    answers = iter([None, holder, holder])
    monkeypatch.setattr(lock_file, lambda _: next(answers))
    with pytest.raises(CutlineError, match="on elsewhere"), workspace.locked(silent):
        pass
    monkeypatch.undo()
    assert read_owner(workspace.lock) == holder
    assert os.listdir(workspace.attempts) == []


def test_this_process_is_alive_and_says_so():
    owner = Owner.here("run")
    assert owner.is_seen()
    assert not owner.is_dead()
    assert (owner.boot, owner.started) == (boot_id(), start_time(os.getpid()))
    assert msgspec.json.decode(msgspec.json.encode(owner), type=Owner) == owner
