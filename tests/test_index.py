import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline import index
from cutline.entries import Entry, entry
from cutline.errors import CutlineError
from cutline.index import index_shards, member_lines
from cutline.shards import Shards
from cutline.shardset import open_shards
from cutline.store import Outputs, make_folder
from cutline.tar import Member
from cutline.watch import SILENT
from tar_bytes import END, header, member

PARTS = st.sampled_from(
    [b"a", b"b.json", b".", b"..", b"", b".h", b"x" * 256, b"\xff", b"n\0.json", b".cutline"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=5).map(b"/".join)
KINDS = st.sampled_from(["regular", "directory", "symlink", "link", "device", "fifo", "sparse"])


def judged_plainly(name, kind):
    """The oracle: path, whether it is a sidecar, and the reason, as the kernel would see a name."""
    path = os.path.normpath(name).removeprefix(b"/").removeprefix(b"/")
    path = b"" if path == b"." else path
    steps = name.split(b"/")
    bad = name[:1] == b"/" or b".." in steps or any(len(step) > 255 for step in steps)
    bad = bad or path.split(b"/")[0] == b".cutline" or b"\0" in name
    folder = kind == "directory" or (kind == "regular" and name.endswith(b"/"))
    if bad or (path == b"" and not folder):
        path, reason = name, "bad_name"
    elif folder:
        reason = "directory"
    else:
        reason = None if kind == "regular" else "not_regular"
    hidden = any(step[:1] == b"." and step != b".." for step in path.split(b"/"))
    return path, path.endswith(b".json") and not hidden, reason


@given(NAMES, KINDS)
def test_a_member_is_judged_as_the_oracle_judges_it(name, kind):
    found = entry(Member(name, 512, 3, kind, 0))
    assert (found.path, found.sidecar, found.reason) == judged_plainly(name, kind)
    assert (found.fault is None) == (found.reason is None)
    assert (found.offset, found.size) == (512, 3)


def test_a_name_of_a_megabyte_is_kept_short():
    found = entry(Member(b"n/" * 2**19, 512, 3, "regular", 0))
    assert (len(found.path), found.reason) == (4096, "bad_name")


@pytest.fixture
def indexed(tmp_path):
    """Index an archive, and give its index."""
    make_folder(f"{tmp_path}/t.cutline")

    def index_of(archive, modified=None):
        (tmp_path / "a.tar").write_bytes(archive)
        if modified:
            os.utime(tmp_path / "a.tar", ns=(modified, modified))
        outputs = Outputs(f"{tmp_path}/t.parquet")
        (found,) = index_shards(open_shards(f"{tmp_path}/a.tar"), outputs, None, SILENT)
        return found

    return index_of


def test_an_index_holds_every_member_in_order_across_batches(indexed):
    count = 25_000
    archive = b"".join(member(b"%d.json" % number, b"") for number in range(count)) + END
    lines = member_lines(indexed(archive), ["sidecar"])
    assert lines["path"].to_pylist() == [b"%d.json" % number for number in range(count)]
    assert lines["offset"].to_pylist() == [512 * (number + 1) for number in range(count)]
    assert set(lines["shard"].to_pylist()) == {"a.tar"}


def test_an_index_that_is_damaged_is_made_again(indexed, tmp_path):
    archive = member(b"1.json", b"{}") + END
    path = indexed(archive).path
    status = os.stat(tmp_path / "a.tar")
    with open(path, "r+b") as file:
        file.truncate(20)
    again = indexed(archive, status.st_mtime_ns)
    assert again.path == path
    assert len(member_lines(again, [])) == 1


def test_damages_are_told_with_their_offsets_again_from_the_index(indexed, tmp_path):
    archive = member(b"1.json", b"{}") + b"\xff" * 512 + header(b"2.json") + END
    first = indexed(archive)
    again = indexed(archive, os.stat(tmp_path / "a.tar").st_mtime_ns)
    assert first == again
    assert [offset for offset, _ in again.damages] == [1024]


def test_an_ordinary_name_is_a_path_as_it_is():
    assert entry(Member(b"1.json", 5, 7, "regular", 0)) == Entry(b"1.json", 5, 7, True)


def test_an_index_that_is_damaged_in_a_page_is_made_again(indexed, tmp_path):
    archive = b"".join(member(b"%d.json" % number, b"{}") for number in range(100)) + END
    path = indexed(archive).path
    status = os.stat(tmp_path / "a.tar")
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 60)
    again = indexed(archive, status.st_mtime_ns)
    assert again.path == path
    assert len(member_lines(again, [])) == 100


def test_an_index_is_made_again_if_everything_is_to_be(indexed, tmp_path):
    outputs = Outputs(f"{tmp_path}/t.parquet")
    first = indexed(member(b"1.json", b"{}") + END)
    status = os.stat(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(member(b"2.json", b"{}") + END)
    os.utime(tmp_path / "a.tar", ns=(status.st_mtime_ns, status.st_mtime_ns))
    shards = open_shards(f"{tmp_path}/a.tar")
    (again,) = index_shards(shards, outputs, None, SILENT, fresh=True)
    assert again.path == first.path
    assert member_lines(again, [])["path"].to_pylist() == [b"2.json"]


def test_a_long_name_is_looked_at_once_and_its_sidecar_is_not_lost():
    found = entry(Member(b"a/" * 3000 + b"x.json", 512, 3, "regular", 0))
    assert (found.reason, found.sidecar, len(found.path)) == ("bad_name", True, 4096)


# Shards behind a URL.


@pytest.fixture
def remote_shards(tmp_path):
    """Nine shards behind a URL."""
    for number in range(9):
        archive = member(b"%d.json" % number, b"{}") + END
        (tmp_path / f"{number}.tar").write_bytes(archive)
    return open_shards(tmp_path.as_uri())


def test_shards_behind_a_url_are_walked_at_once(remote_shards, tmp_path, monkeypatch):
    all_have_begun = threading.Barrier(len(remote_shards.names), timeout=60)
    walk = index.walk

    def walk_with_the_others(*arguments):
        all_have_begun.wait()
        return walk(*arguments)

    monkeypatch.setattr(index, "walk", walk_with_the_others)
    job = index.Job(remote_shards.source, f"{tmp_path}", f"{tmp_path}")
    indexes = index.index_each(remote_shards.names, job)
    assert [index.shard for index in indexes] == list(remote_shards.names)
    assert len({index.path for index in indexes}) == len(indexes)


def test_the_indexes_of_many_shards_are_in_their_order(remote_shards, tmp_path, client):
    make_folder(f"{tmp_path}/t.cutline")
    indexes = index_shards(remote_shards, Outputs(f"{tmp_path}/t.parquet"), client, SILENT)
    lines = index.sidecar_lines(indexes)
    assert lines["path"].to_pylist() == [b"%d.json" % number for number in range(9)]
    assert lines["shard"].to_pylist() == list(remote_shards.names)


def test_a_shard_that_cannot_be_read_is_heard_of_while_others_are_walked(
    remote_shards, tmp_path, monkeypatch
):
    heard = threading.Event()
    opened = Shards.opened

    def refused(shards, name):
        if name == "0.tar":
            raise CutlineError("0.tar cannot be read: mend it.")
        heard.wait(timeout=60)
        return opened(shards, name)

    monkeypatch.setattr(Shards, "opened", refused)
    job = index.Job(remote_shards.source, f"{tmp_path}", f"{tmp_path}")
    with pytest.raises(CutlineError, match=r"0\.tar cannot be read"):
        index.index_each(remote_shards.names, job)
    heard.set()
