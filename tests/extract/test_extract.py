import os
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager
from functools import partial

import fsspec
import pytest

from cutline.demo.making import make_demo
from cutline.demo.samples import DemoOptions
from cutline.demo.shard_writer import HARMLESS
from cutline.errors import CutlineError, UsageError
from cutline.extract.extract_options import ExtractOptions
from cutline.extract.extraction import extract
from cutline.progress.watcher import Load, Silent
from cutline.store import Workspace, space
from tar_bytes import END, by_tarfile, header, member, pax
from trees import tree_in_bytes as tree


def write_shard(folder, name, files):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(by_tarfile(files, "gnu"))


def by_gnu_tar(shards, folder):
    """The oracle: what GNU tar unpacks, of members with one name the first as here."""
    folder.mkdir()
    for shard in shards:
        command = ["tar", "--skip-old-files", "-xf", shard, "-C", folder]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return tree(folder)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo of shards: its folder of shards, and the shards."""
    folder = tmp_path_factory.mktemp("demo") / "d"
    make_demo(folder, DemoOptions(600, form="shards"))
    return folder / "data", sorted((folder / "data").iterdir())


# Equal to GNU tar.


def test_a_folder_of_shards_is_unpacked_as_gnu_tar_unpacks_it(demo, tmp_path, client):
    folder, shards = demo
    options = ExtractOptions(partition_size=100)
    summary = extract(f"{folder}", f"{tmp_path}/out", options, client=client)
    expected = by_gnu_tar(shards, tmp_path / "gnu")
    files = [data for data in expected.values() if data is not None]
    assert tree(tmp_path / "out") == expected
    assert (summary.files, summary.bytes) == (len(files), sum(map(len, files)))
    assert (summary.shards, summary.skipped, summary.rejects) == (len(shards), 0, {})
    assert summary.shortfall == ""


def test_odd_but_harmless_names_are_unpacked_as_gnu_tar_unpacks_them(tmp_path):
    names = [
        "a",
        "./b",
        "c/d/e",
        "c//d/./f",
        "n" * 255,
        "x/" * 200 + "y",
        "-rf",
        "new\nline",
        "caf\udce9",
    ]
    archive = by_tarfile([(name, name.encode(errors="surrogateescape")) for name in names], "gnu")
    archive = archive[:-1024] + b"".join(header(d, flag=b"5") for d in (b"./", b"empty/", b"c/d/"))
    archive += header(b"old/", 0, flag=b"0") + pax({b"path": b"p/q"}) + member(b"z", b"pax")
    (tmp_path / "a.tar").write_bytes(archive + END)
    extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    expected = by_gnu_tar([tmp_path / "a.tar"], tmp_path / "gnu")
    assert len(expected) > 200
    assert tree(tmp_path / "out") == expected


def test_a_remote_shard_is_unpacked_as_a_local_one(demo, tmp_path):
    _, shards = demo
    fsspec.filesystem("memory").pipe_file("/unpack/a.tar", shards[0].read_bytes())
    summary = extract("memory://unpack", f"{tmp_path}/out")
    assert tree(tmp_path / "out") == by_gnu_tar(shards[:1], tmp_path / "gnu")
    assert summary.rejects == {}


def test_files_are_made_as_the_umask_of_the_user_has_it(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"a")])
    extract(f"{tmp_path}/s", f"{tmp_path}/out")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "out" / "a").stat().st_mode & 0o7777 == 0o666 & ~umask


class Follower(Silent):
    """A watcher that adds up what a stage has done."""

    def __init__(self):
        self.stages = {}

    @contextmanager
    def stage(self, name, load):
        done = []
        yield done.append
        self.stages[name] = (load, sum(done))


def test_progress_is_in_bytes_of_the_files_that_were_there_and_of_those_that_were_not(
    demo, tmp_path
):
    folder, _ = demo
    whole = extract(f"{folder}", f"{tmp_path}/out").bytes
    for path in (tmp_path / "out").glob("*[02468].jpg"):
        path.unlink()
    follower = Follower()
    summary = extract(f"{folder}", f"{tmp_path}/out", watcher=follower)
    assert 0 < summary.bytes < whole
    assert follower.stages["extract-files"] == (Load(whole, "bytes"), whole)


def test_too_many_members_that_become_no_file_are_a_shortfall(tmp_path):
    for shard in "ab":
        write_shard(tmp_path / "s", f"{shard}.tar", [("a", b"a"), ("b", b"b")])
    summary = extract(f"{tmp_path}/s", f"{tmp_path}/out")
    assert (summary.files, summary.rejects) == (2, {"duplicate": 2})
    assert summary.shortfall.startswith(
        "2 of 4 members of the shards became no file, more than the share of 0.1 that"
        " --max-rejects allows (the first: b.tar/a: duplicate: another member has its place):"
    )
    borne = extract(f"{tmp_path}/s", f"{tmp_path}/out", ExtractOptions(max_rejects=0.5))
    assert borne.shortfall == ""


# Hostile archives.


def test_a_hostile_archive_changes_nothing_outside_of_the_folder(tmp_path):
    expected = make_demo(tmp_path / "in" / "demo", DemoOptions(200, form="hostile"))
    (tmp_path / "in" / "outside").write_text("precious")
    out = tmp_path / "in" / "deep" / "er" / "out"
    out.parent.mkdir(parents=True)
    before = tree(tmp_path / "in")
    (tmp_path / "top").mkdir()
    absolute = tree(tmp_path / "top")
    summary = extract(f"{tmp_path}/in/demo/data", f"{out}")
    below = os.fsencode("deep/er/out")
    after = tree(tmp_path / "in")
    assert {path: after[path] for path in after if not path.startswith(below)} == before
    assert tree(tmp_path / "top") == absolute
    assert not os.path.lexists("/escaped.jpg")
    assert summary.rejects == expected.refused
    assert not any(isinstance(data, str) for data in tree(out).values())  # no link at all
    for name in HARMLESS:
        assert (out / name).is_file()
    assert summary.shortfall.startswith("1 of 3 shards are damaged")


@pytest.mark.parametrize(
    "name",
    [
        b"../a",
        b"/a",
        b"a/../../b",
        b"..",
        b"a/..",
        b"n" * 256,
        b".cutline/lock",
        b"./.cutline/x",
        b"a\0b",
    ],
)
def test_a_name_that_is_no_path_below_the_folder_is_a_reject(name, tmp_path):
    archive = pax({b"path": name}) + member(b"x", b"bad") + member(b"good", b"good") + END
    (tmp_path / "a.tar").write_bytes(archive)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert (summary.rejects, summary.files) == ({"bad_name": 1}, 1)
    assert os.listdir(tmp_path / "out/.cutline") == ["versions.json"]
    assert tree(tmp_path) == {
        b"a.tar": archive, b"out": None, b"out/good": b"good"
    }  # fmt: skip


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"6", b"S", b"Z"])
def test_what_is_no_regular_file_is_a_reject(flag, tmp_path):
    (tmp_path / "a.tar").write_bytes(header(b"a", flag=flag) + member(b"b", b"b") + END)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert summary.rejects == {"not_regular": 1}
    assert tree(tmp_path / "out") == {b"b": b"b"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_stands_in_the_folder_is_not_followed(kind, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    name = "f" if kind == "file" else "l/f"
    (out / name.split("/", maxsplit=1)[0]).symlink_to(outside / "f" if kind == "file" else outside)
    write_shard(tmp_path / "s", "a.tar", [(name, b"hostile!")])
    summary = extract(f"{tmp_path}/s", f"{out}")
    assert tree(outside) == {b"f": b"precious"}
    if kind == "file":  # replaced, as a file of another size is
        assert (out / "f").read_bytes() == b"hostile!"
        assert not (out / "f").is_symlink()
    else:
        assert summary.rejects == {"unwritable": 1}
        assert summary.shortfall.startswith("1 file could not be written")


def test_empty_members_of_one_name_are_unpacked_as_one_file(tmp_path):
    (tmp_path / "a.tar").write_bytes(header(b"a") * 50_000 + END)  # a million: tests/faults
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert (summary.files, summary.rejects) == (1, {"duplicate": 49_999})


def test_a_forged_size_takes_neither_memory_nor_space(tmp_path):
    archive = header(b"huge", 1 << 32) + member(b"b", b"b") + END
    (tmp_path / "a.tar").write_bytes(archive)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert summary.rejects == {"damaged_shard": 1}
    assert tree(tmp_path / "out") == {b"b": b"b"}


# Which member becomes which file.


@pytest.mark.parametrize("partition_size", [1, 2, 100])
def test_of_members_with_one_name_the_first_in_source_order_is_the_file(
    partition_size, tmp_path, client
):
    write_shard(tmp_path / "s", "b.tar", [("x", b"third"), ("y", b"fourth")])
    write_shard(tmp_path / "s", "a.tar", [("x", b"first"), ("./x", b"second")])
    options = ExtractOptions(partition_size=partition_size)
    summary = extract(f"{tmp_path}/s", f"{tmp_path}/out", options, client=client)
    assert tree(tmp_path / "out") == {b"x": b"first", b"y": b"fourth"}
    assert (summary.files, summary.rejects) == (2, {"duplicate": 2})


def test_a_file_that_other_members_need_as_a_folder_is_the_folder_whatever_comes_first(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"file"), ("a/b/c", b"c"), ("a/b", b"file")])
    summary = extract(f"{tmp_path}/s", f"{tmp_path}/out")
    assert tree(tmp_path / "out") == {b"a": None, b"a/b": None, b"a/b/c": b"c"}
    assert summary.rejects == {"duplicate": 2}


@pytest.mark.parametrize(
    ("only", "left"), [("sidecars", {b"1.json"}), ("images", {b"1.png", b"r"})]
)
def test_only_sidecars_or_only_images_are_unpacked(only, left, tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("1.json", b"{}"), ("1.png", b"png"), ("r", b"")])
    summary = extract(f"{tmp_path}/s", f"{tmp_path}/out", ExtractOptions(only=only))
    assert set(tree(tmp_path / "out")) == left
    assert summary.files == len(left)


# Going on.


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_member_takes_the_place_of_a_shard(tmp_path, overwrite):
    write_shard(tmp_path, "a.tar", [("a.png", b"A"), ("b.tar", b"not a shard"), ("x/b.tar", b"")])
    write_shard(tmp_path, "b.tar", [("b.png", b"B")])
    before = (tmp_path / "b.tar").read_bytes()
    summary = extract(str(tmp_path), str(tmp_path), ExtractOptions(overwrite=overwrite))
    assert (tmp_path / "b.tar").read_bytes() == before
    assert (summary.files, summary.rejects) == (3, {"bad_name": 1})
    assert (tmp_path / "b.png").read_bytes() == b"B"
    # One that was unpacked before, and is a shard by its name since then, is there already.
    write_shard(tmp_path, "c.tar", [("b.tar", before)])
    again = extract(f"{tmp_path}/*.tar", str(tmp_path))
    assert (again.files, again.skipped) == (0, 4)


def test_a_file_of_the_right_size_is_left_alone_and_one_of_another_is_made_anew(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"new a"), ("b", b"new b"), ("c", b"new c")])
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_bytes(b"mine!")
    (out / "b").write_bytes(b"new")  # torn
    summary = extract(f"{tmp_path}/s", f"{out}")
    assert tree(out) == {b"a": b"mine!", b"b": b"new b", b"c": b"new c"}
    assert (summary.files, summary.skipped, summary.bytes) == (2, 1, 10)

    summary = extract(f"{tmp_path}/s", f"{out}", ExtractOptions(overwrite=True))
    assert tree(out) == {b"a": b"new a", b"b": b"new b", b"c": b"new c"}
    assert (summary.files, summary.skipped) == (3, 0)


def test_a_second_extraction_writes_nothing(demo, tmp_path):
    extract(f"{demo[0]}", f"{tmp_path}/out")
    before = {path: os.lstat(path).st_ino for path in (tmp_path / "out").iterdir()}
    summary = extract(f"{demo[0]}", f"{tmp_path}/out")
    assert (summary.files, summary.bytes) == (0, 0)
    assert {path: os.lstat(path).st_ino for path in (tmp_path / "out").iterdir()} == before


KILLED = """
import sys
from cutline.extract import ExtractOptions, extract
extract(sys.argv[1], sys.argv[2], ExtractOptions(partition_size=20))
"""


@pytest.mark.parametrize("files", [1, 40, 400])
def test_killed_at_any_time_and_run_again_the_files_are_gnu_tar_s(files, demo, tmp_path):
    folder, shards = demo
    out = tmp_path / "out"
    job = subprocess.Popen([sys.executable, "-c", KILLED, folder, out])
    while job.poll() is None and (not out.is_dir() or len(os.listdir(out)) < files):
        time.sleep(0.001)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    expected = by_gnu_tar(shards, tmp_path / "gnu")
    part = tree(out)
    assert len(part) >= files - 1  # the first thing there is cutline's own folder
    assert part.items() <= expected.items()  # what is there is whole
    done = sum(data is not None for data in part.values())

    summary = extract(f"{folder}", f"{out}")
    assert tree(out) == expected  # and of the attempts and indexes nothing is left
    assert summary.skipped == done
    assert summary.files + done == sum(data is not None for data in expected.values())


def test_what_a_killed_run_of_an_earlier_version_left_is_removed(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"x")])
    left = tmp_path / "out/.cutline/extract.cutline"
    (left / "shards").mkdir(parents=True)
    (left / "shards/0.parquet").touch()
    (left / "plan.parquet").touch()
    extract(f"{tmp_path}/s", f"{tmp_path}/out")
    assert tree(tmp_path / "out") == {b"a": b"x"}
    assert os.listdir(left.parent) == ["versions.json"]


@pytest.mark.parametrize("name", ["shards", "plan.parquet", "extract.cutline", "versions.json"])
def test_a_link_in_cutline_s_own_folder_leads_nowhere(name, tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"x")])
    (tmp_path / "out/.cutline").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_bytes(b"somebody's")
    (tmp_path / "out/.cutline" / name).symlink_to(
        tmp_path / "elsewhere" / ("file" if name == "plan.parquet" else "")
    )
    if name == "shards":  # they would be written, and removed, somewhere else
        with pytest.raises(CutlineError, match=r"is a link, .*: remove the link\.$"):
            extract(f"{tmp_path}/s", f"{tmp_path}/out")
    else:
        extract(f"{tmp_path}/s", f"{tmp_path}/out")
        assert tree(tmp_path / "out") == {b"a": b"x"}
    assert tree(tmp_path / "elsewhere") == {b"file": b"somebody's"}


# Damage.


def test_the_good_members_of_a_damaged_shard_are_unpacked_and_the_damage_is_told(tmp_path):
    archive = bytearray(by_tarfile([(f"{n}.jpg", bytes([n]) * 900) for n in range(5)]))
    archive[2 * 1536] ^= 1
    (tmp_path / "a.tar").write_bytes(archive)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert set(tree(tmp_path / "out")) == {b"0.jpg", b"1.jpg", b"3.jpg", b"4.jpg"}
    assert (summary.files, summary.rejects) == (4, {"damaged_shard": 1})
    assert "a.tar at byte 3,072" in summary.shortfall
    options = ExtractOptions(allow_damaged=True)
    assert extract(f"{tmp_path}/a.tar", f"{tmp_path}/out", options).shortfall == ""


def test_an_archive_of_nothing_is_unpacked_to_nothing(tmp_path):
    (tmp_path / "a.tar").write_bytes(END)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert (summary.files, summary.rejects, tree(tmp_path / "out")) == (0, {}, {})


# What is refused.


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    write_shard(tmp_path / "s", "a.tar", [("a", b"x" * 5000), ("b", b"x" * 5000)])
    extract(f"{tmp_path}/s", f"{tmp_path}/full")
    monkeypatch.setattr(space, "free_room", lambda _: space.Room(9000, 100))
    with pytest.raises(CutlineError, match=r"files of the shards take 16\.\d kB and 2 inodes"):
        extract(f"{tmp_path}/s", f"{tmp_path}/out")
    assert os.listdir(tmp_path / "out") == [".cutline"]  # the indexes, to go on with
    assert extract(f"{tmp_path}/s", f"{tmp_path}/full").skipped == 2  # nothing is needed there
    monkeypatch.setattr(space, "free_room", lambda _: space.Room(1 << 40, 1))
    with pytest.raises(CutlineError, match="make room"):
        extract(f"{tmp_path}/s", f"{tmp_path}/out")


def test_a_place_that_cannot_be_unpacked_into_is_one_sentence(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"")])
    (tmp_path / "file").write_text("x")
    unpack = partial(extract, f"{tmp_path}/s")
    with pytest.raises(UsageError, match="is a file: name a folder"):
        unpack(f"{tmp_path}/file")
    with pytest.raises(UsageError, match="is not there: make it first"):
        unpack(f"{tmp_path}/no/where")
    with pytest.raises(UsageError, match="is a URL"):
        unpack("memory://out")


def test_two_extractions_into_one_folder_do_not_run_at_once(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"")])
    (tmp_path / "out").mkdir()
    with (
        Workspace(f"{tmp_path}/out/.cutline").locked(print),
        pytest.raises(CutlineError, match="Another run is at work"),
    ):
        extract(f"{tmp_path}/s", f"{tmp_path}/out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path):
    write_shard(tmp_path / "s", "a.tar", [("a", b"")])
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(CutlineError, match="cannot be written"):
        extract(f"{tmp_path}/s", f"{tmp_path}/out")


@pytest.mark.parametrize("changes", [{"only": "image"}, {"partition_size": 0}, {"max_rejects": 2}])
def test_options_that_cannot_be_are_refused(changes):
    with pytest.raises(UsageError):
        ExtractOptions(**changes)


def test_tarfile_reads_the_same_members(demo, tmp_path):
    """Another oracle, which is also what people write by hand."""
    _, shards = demo
    extract(f"{shards[0]}", f"{tmp_path}/out")
    with tarfile.open(shards[0]) as archive:
        archive.extractall(tmp_path / "by_hand", filter="data")
    assert tree(tmp_path / "out") == tree(tmp_path / "by_hand")
