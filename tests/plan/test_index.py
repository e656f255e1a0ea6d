import os
import threading

import pyarrow.parquet as pq
import pytest

from cutline.errors import CutlineError
from cutline.plan import shard_index
from cutline.plan.shard_index import IndexContext, index_shards, member_lines
from cutline.progress.watcher import SILENT
from cutline.sources import tar_shards
from cutline.sources.shard_names import open_shards
from cutline.sources.tar_shards import Shards
from cutline.store.disk import make_folder
from cutline.store.table_store import LocalDisk
from tar_bytes import END, header, member

STORE = LocalDisk()


def index_again(folder, *, fresh=False):
    """Index the archive of a folder."""
    shards = open_shards(f"{folder}/a.tar")
    return index_shards(shards, STORE, f"{folder}/t.cutline/shards", None, SILENT, fresh=fresh)


@pytest.fixture
def indexed(tmp_path):
    """Index an archive, and give its index."""
    make_folder(f"{tmp_path}/t.cutline")

    def index_of(archive):
        if not (tmp_path / "a.tar").exists():  # the second time it is the same
            (tmp_path / "a.tar").write_bytes(archive)
        (found,) = index_again(tmp_path)
        return found

    return index_of


def write_index(path, lines, told=b'{"count": 0, "first": []}'):
    """Write an index that somebody else has made."""
    with pq.ParquetWriter(path, shard_index.INDEX) as writer:
        writer.write_table(lines)
        writer.add_key_value_metadata({shard_index.KEY: told})


def test_an_index_holds_every_member_in_order_across_batches(indexed):
    count = 25_000
    archive = b"".join(member(b"%d.json" % number, b"") for number in range(count)) + END
    lines = member_lines(indexed(archive), ["sidecar"], STORE)
    assert lines["path"].to_pylist() == [b"%d.json" % number for number in range(count)]
    assert lines["offset"].to_pylist() == [512 * (number + 1) for number in range(count)]
    assert set(lines["shard"].to_pylist()) == {"a.tar"}


def test_an_index_that_is_damaged_is_made_again(indexed, tmp_path):
    archive = member(b"1.json", b"{}") + END
    path = indexed(archive).path
    with open(path, "r+b") as file:
        file.truncate(20)
    again = indexed(archive)
    assert again.path == path
    assert len(member_lines(again, [], STORE)) == 1


@pytest.mark.parametrize(
    "told", [b"", b"[]", b"{}", b'{"count": "1", "first": []}', b'{"count": 1, "first": [[1024]]}']
)
def test_an_index_that_tells_of_damage_in_another_way_is_made_again(indexed, tmp_path, told):
    archive = member(b"1.json", b"{}") + b"\xff" * 512 + header(b"2.json") + END
    first = indexed(archive)
    write_index(first.path, pq.read_table(first.path), told)
    assert indexed(archive) == first
    assert pq.read_metadata(first.path).metadata[shard_index.KEY] != told


def test_damages_are_told_with_their_offsets_again_from_the_index(indexed, tmp_path):
    archive = member(b"1.json", b"{}") + b"\xff" * 512 + header(b"2.json") + END
    first = indexed(archive)
    again = indexed(archive)
    assert first == again
    assert [offset for offset, _ in again.damages] == [1024]


def test_an_index_that_is_damaged_in_a_page_is_made_again(indexed, tmp_path):
    archive = b"".join(member(b"%d.json" % number, b"{}") for number in range(100)) + END
    path = indexed(archive).path
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 60)
    again = indexed(archive)
    assert again.path == path
    assert len(member_lines(again, [], STORE)) == 100


def test_an_index_is_made_again_if_everything_is_to_be(indexed, tmp_path):
    first = indexed(member(b"1.json", b"{}") + END)
    lines = pq.read_table(first.path)
    write_index(first.path, lines.set_column(0, shard_index.INDEX.field("path"), [[b"other.json"]]))
    for fresh, path in ((False, b"other.json"), (True, b"1.json")):
        (again,) = index_again(tmp_path, fresh=fresh)
        assert again.path == first.path
        assert member_lines(again, [], STORE)["path"].to_pylist() == [path]


def test_a_shard_that_cannot_be_read_on_is_named_and_its_index_is_not(tmp_path):
    os.symlink("/proc/self/mem", tmp_path / "a.tar")  # nothing is mapped at its beginning
    os.mkdir(tmp_path / "t.cutline")
    with pytest.raises(
        CutlineError, match=r"^/.*/a.tar cannot be read any further \(Input/output error\)"
    ):
        index_again(tmp_path)
    assert os.listdir(tmp_path / "t.cutline/shards") == []


# Many shards, each of which is waited for.


@pytest.fixture(params=["", "file://"], ids=["local", "behind a URL"])
def nine_shards(request, tmp_path):
    """Nine shards on a disk, or behind a URL."""
    for number in range(9):
        archive = member(b"%d.json" % number, b"{}") + END
        (tmp_path / f"{number}.tar").write_bytes(archive)
    return open_shards(f"{request.param}{tmp_path}")


def test_shards_of_a_task_are_walked_at_once(nine_shards, tmp_path, monkeypatch):
    all_have_begun = threading.Barrier(len(nine_shards.names), timeout=60)
    walk = tar_shards.walk

    def walk_with_the_others(*arguments):
        all_have_begun.wait()
        return walk(*arguments)

    monkeypatch.setattr(tar_shards, "walk", walk_with_the_others)
    context = IndexContext(nine_shards.source, STORE, f"{tmp_path}")
    indexes = shard_index.index_each(nine_shards.names, context)
    assert [index.shard for index in indexes] == list(nine_shards.names)
    assert len({index.path for index in indexes}) == len(indexes)


def test_the_indexes_of_many_shards_are_in_their_order(nine_shards, tmp_path, client):
    make_folder(f"{tmp_path}/t.cutline")
    indexes = index_shards(nine_shards, STORE, f"{tmp_path}/t.cutline/shards", client, SILENT)
    lines = shard_index.sidecar_lines(indexes, STORE, images=False)
    assert lines["path"].to_pylist() == [b"%d.json" % number for number in range(9)]
    assert lines["shard"].to_pylist() == list(nine_shards.names)


def test_a_shard_that_cannot_be_read_is_heard_of_while_others_are_walked(
    nine_shards, tmp_path, monkeypatch
):
    heard = threading.Event()
    opened = Shards.opened

    def refused(shards, name):
        if name == "0.tar":
            raise CutlineError("0.tar cannot be read: mend it.")
        heard.wait(timeout=60)
        return opened(shards, name)

    monkeypatch.setattr(Shards, "opened", refused)
    context = IndexContext(nine_shards.source, STORE, f"{tmp_path}")
    with pytest.raises(CutlineError, match=r"0\.tar cannot be read"):
        shard_index.index_each(nine_shards.names, context)
    heard.set()


@pytest.mark.parametrize(
    ("shards", "expected"), [(1, 1), (2, 1), (12, 6), (16, 8), (40, 8), (69, 9), (1000, 125)]
)
def test_a_task_has_some_shards_to_walk_and_no_worker_has_none(tmp_path, client, shards, expected):
    for number in range(shards):
        (tmp_path / f"{number}.tar").write_bytes(END)
    assert sum(client.nthreads().values()) == 2
    assert shard_index._at_once(open_shards(f"{tmp_path}"), client) == expected


def test_without_a_cluster_each_shard_is_a_task(tmp_path):
    (tmp_path / "1.tar").write_bytes(END)
    assert shard_index._at_once(open_shards(f"{tmp_path}"), None) == 1
