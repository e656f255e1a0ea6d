"""Whose a file is: what an extraction wrote follows its shard, and what somebody made is kept."""

import os
import shutil

import pytest

from cutline.extract import extraction
from cutline.extract.extract_options import ExtractOptions
from cutline.extract.extraction import extract
from cutline.plan.marks import shard_versions
from cutline.store.workspace import LocalDisk
from jobs_at_work import Listener
from tar_bytes import END, by_tarfile, member

LONG = 20_000
FIRST = {"a.jpg": b"1" * LONG, "b.json": b'{"a": 1}', "c.cls": b"1", "d.png": b""}
SECOND = {"a.jpg": b"1" * 9000 + b"2" + b"1" * (LONG - 9001), "b.json": b'{"a": 2}', "c.cls": b"2"}
SECOND["d.png"] = b"no longer empty"


class World:
    """Shards in a folder, and the folder that they are unpacked into."""

    def __init__(self, folder):
        self.shards, self.out = folder / "shards", folder / "out"
        self.shards.mkdir()
        self.said = []

    def shard(self, files, name="a.tar"):
        (self.shards / f"{name}.new").write_bytes(by_tarfile(files.items()))
        os.rename(self.shards / f"{name}.new", self.shards / name)

    def extract(self, client=None, **options):
        listener = Listener()
        chosen = ExtractOptions(**options)
        summary = extract(self.shards, self.out, chosen, client=client, watcher=listener)
        self.said = listener.said
        return summary

    def files(self):
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file()}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def counts(summary):
    return summary.files, summary.skipped, summary.edited


def test_a_corrected_shard_whose_members_have_the_same_lengths_is_unpacked_anew(world):
    world.shard(FIRST)
    world.extract()
    world.shard(SECOND)
    assert counts(world.extract()) == (4, 0, 0)
    assert world.files() == SECOND
    assert counts(world.extract()) == (0, 4, 0)
    assert world.said == []


def test_workers_unpack_a_corrected_shard_anew_and_keep_what_somebody_edited(world, client):
    world.shard(FIRST)
    world.extract(client)
    (world.out / "c.cls").write_bytes(b"mine")
    world.shard(SECOND)
    assert counts(world.extract(client, partition_size=1)) == (3, 1, 1)
    assert world.files() == {**SECOND, "c.cls": b"mine"}
    assert counts(world.extract(client)) == (0, 4, 1)


@pytest.mark.parametrize("name", FIRST)
def test_what_somebody_has_edited_is_kept_and_named_until_it_is_to_be_replaced(world, name):
    world.shard(FIRST)
    world.extract()
    edited = b'{"b": 1}' if name == "b.json" else b"9" * max(1, len(FIRST[name]))
    (world.out / name).write_bytes(edited)
    if name in {"a.jpg", "d.png"}:  # no image with a size: what somebody's tool left of one
        assert counts(world.extract()) == (1, 3, 0)
        return
    for files in (FIRST, SECOND):
        world.shard(files)
        assert world.extract().edited == 1
        assert world.files() == {**files, name: edited}
        assert name in world.said[0]
    assert counts(world.extract(overwrite=True)) == (4, 0, 0)
    assert world.files() == SECOND


def test_a_file_that_was_edited_and_given_its_old_time_is_kept_if_its_length_tells(world):
    world.shard(FIRST)
    world.extract()
    path = world.out / "c.cls"
    time = path.stat().st_mtime_ns
    path.write_bytes(b"mine")
    os.utime(path, ns=(time, time))
    assert counts(world.extract()) == (0, 4, 1)


def test_a_file_that_was_only_touched_is_somebody_s_from_then_on(world):
    world.shard(FIRST)
    world.extract()
    os.utime(world.out / "c.cls")
    assert counts(world.extract()) == (0, 4, 0)
    world.shard(SECOND)
    assert counts(world.extract()) == (3, 1, 1)
    assert world.files() == {**SECOND, "c.cls": b"1"}


def test_after_a_shard_was_renamed_its_files_stay_and_follow_its_next_version(world):
    world.shard(FIRST)
    world.extract()
    inodes = {path.name: path.stat().st_ino for path in world.out.iterdir()}
    os.rename(world.shards / "a.tar", world.shards / "z.tar")
    assert counts(world.extract()) == (0, 4, 0)
    assert {path.name: path.stat().st_ino for path in world.out.iterdir()} == inodes
    assert counts(world.extract()) == (0, 4, 0)
    world.shard(SECOND, "z.tar")
    world.extract()
    assert world.files() == SECOND


def test_a_shard_that_was_renamed_and_corrected_before_the_next_run_is_unpacked_anew(world):
    world.shard(FIRST)
    world.extract()
    (world.shards / "a.tar").unlink()
    world.shard(SECOND, "z.tar")
    assert world.extract().edited == 0
    assert world.files() == SECOND


def test_where_one_of_two_shards_that_share_a_name_is_removed_the_other_s_member_is_the_file(world):
    world.shard(FIRST)
    world.shard(SECOND, "b.tar")
    world.extract(max_rejects=1)
    assert world.files() == FIRST
    os.rename(world.shards / "a.tar", world.shards / "a.tar.off")
    world.extract()
    assert world.files() == SECOND
    os.rename(world.shards / "a.tar.off", world.shards / "a.tar")
    world.extract(max_rejects=1)
    assert world.files() == FIRST


def test_a_folder_that_tar_unpacked_is_as_it_should_be(world):
    world.shard(FIRST)
    world.out.mkdir()
    shutil.unpack_archive(world.shards / "a.tar", world.out, filter="data")
    assert counts(world.extract()) == (0, 4, 0)
    world.shard({**FIRST, "c.cls": b"2"})
    assert counts(world.extract()) == (0, 4, 1)


def test_a_copy_of_the_dataset_with_its_times_is_cutline_s_as_the_first_was(world, tmp_path):
    world.shard(FIRST)
    world.extract()
    shutil.copytree(world.out, tmp_path / "copy")
    world.out = tmp_path / "copy"
    world.shard(SECOND)
    world.extract()
    assert world.files() == SECOND


@pytest.mark.parametrize("damage", [None, b"", b"[]", b'{"a": "b"}', b"\xff"])
def test_where_it_is_not_known_what_was_unpacked_all_is_somebody_s(world, damage):
    world.shard({"c.cls": b"1", "e.cls": b"3"})
    world.extract()
    versions = world.out / ".cutline" / shard_versions.VERSIONS
    versions.unlink() if damage is None else versions.write_bytes(damage)
    world.shard({"c.cls": b"2", "e.cls": b"3"})
    assert counts(world.extract()) == (0, 2, 1)
    assert world.files() == {"c.cls": b"1", "e.cls": b"3"}


def test_a_file_system_that_keeps_no_exact_times_is_told_once_and_nothing_is_replaced(
    world, monkeypatch
):
    utime = os.utime

    def coarse(file, *, ns):
        utime(file, ns=tuple(time // 100 * 100 for time in ns))

    monkeypatch.setattr(os, "utime", coarse)
    world.shard(FIRST)
    world.extract()
    (said,) = world.said
    assert said.startswith(f"The file system of {world.out} keeps no exact times")
    assert counts(world.extract()) == (0, 4, 0)
    world.shard({**FIRST, "c.cls": b"2"})
    assert counts(world.extract()) == (0, 4, 1)


def test_the_versions_are_on_the_disk_before_the_first_file_is(world, monkeypatch):
    there = []

    def put(*_):
        there.append(os.path.exists(world.out / ".cutline" / shard_versions.VERSIONS))
        return "written"

    monkeypatch.setattr(extraction, "_put", put)
    world.shard(FIRST)
    world.extract()
    assert there == [True] * 4


def test_of_the_versions_that_are_gone_the_latest_are_remembered(world, monkeypatch):
    monkeypatch.setattr(shard_versions, "FORMER", 2)
    for number in range(5):
        world.shard({"c.cls": b"%d" % number})
        world.extract()
    assert len(shard_versions.read(f"{world.out}/.cutline").births) == 3


def test_two_shards_with_one_stamp_are_two_versions():
    versions = {shard_versions.version_of(f"x/{name}", "10240 None") for name in ("a.tar", "b.tar")}
    assert len(versions) == 2
    assert shard_versions.version_of("elsewhere/a.tar", "10240 None") in versions


@pytest.mark.parametrize("beginning", [0, 600, 5000])
def test_a_shard_that_was_unfinished_leaves_nothing_of_it_once_it_is_whole(world, beginning):
    files = {"a.jpg": b"1" * 3000, "b.jpg": b"2" * 6000, "c.jpg": b"3" * 500}
    whole = b"".join(member(name.encode(), data) for name, data in files.items()) + END
    cut = whole.index(b"b.jpg") + 512 + beginning
    (world.shards / "a.tar").write_bytes(whole[:cut] + bytes(len(whole) - cut + (1 << 17)))
    unfinished = world.extract()
    assert world.files().keys() <= {"a.jpg"} | ({"b.jpg"} if beginning == 0 else set())
    assert unfinished.shortfall
    (world.shards / "a.tar").write_bytes(whole)
    assert world.extract().shortfall == ""
    assert world.files() == files


def test_an_edit_by_a_tool_that_keeps_the_times_of_files_is_kept(world):
    world.shard(FIRST)
    world.extract()
    before = (world.out / "c.cls").stat()
    (world.out / "c.cls").write_bytes(b"packed")
    os.utime(world.out / "c.cls", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert counts(world.extract()) == (0, 4, 1)
    world.shard(SECOND)
    assert counts(world.extract()) == (3, 1, 1)
    assert world.files() == {**SECOND, "c.cls": b"packed"}


def test_versions_that_come_later_are_born_later_also_within_a_second(tmp_path):
    known = shard_versions.Known({})
    for number in range(20):
        newest = known.newest
        known = shard_versions.remember([f"{number}", "0"], f"{tmp_path}", LocalDisk(f"{tmp_path}"))
        assert known.births[f"{number}"] > newest or not number
    assert len(known.births) == 20
