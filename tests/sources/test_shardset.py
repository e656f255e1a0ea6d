import os
from pathlib import Path

import fsspec
import pytest

from cutline.errors import UsageError
from cutline.sources.local_folder import Folder
from cutline.sources.opening import open_source
from cutline.sources.remote_folder import RemoteFolder
from cutline.sources.shard_names import ShardSet, open_shards


@pytest.fixture
def touch(tmp_path):
    """Make empty files, and give their folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def test_a_folder_that_holds_shards_is_one_of_shards_in_sorted_order(touch):
    folder = touch("b.tar", "a.tar", "README.md", "._a.tar", "deep/c.tar")
    assert open_source(f"{folder}") == ShardSet(f"{folder}", ("a.tar", "b.tar"))
    assert open_source(folder) == open_source(f"{folder}/")


def test_a_folder_that_holds_both_is_one_of_sidecars_but_extract_sees_its_shards(touch):
    folder = touch("a.tar", "1.json")
    assert open_source(f"{folder}") == Folder(f"{folder}")
    assert open_shards(f"{folder}").names == ("a.tar",)
    assert open_source(f"{folder}/*.tar").names == ("a.tar",)


def test_a_folder_of_neither_is_one_of_sidecars(touch):
    assert open_source(f"{touch('x.jpg', 'deep/1.json')}") == Folder(f"{touch()}")


def test_a_folder_that_is_called_like_a_shard_is_none(touch):
    assert open_source(f"{touch('a.tar/1.json')}") == Folder(f"{touch()}")
    assert open_source(f"{touch()}/a.tar") == Folder(f"{touch()}/a.tar")


def test_one_shard_a_glob_and_a_list_are_shards(touch, monkeypatch):
    folder = touch("x/a.tar", "y/b.tar", "y/c.tar")
    assert open_source(f"{folder}/y/b.tar") == ShardSet(f"{folder}/y", ("b.tar",))
    assert open_source(f"{folder}/*/*.tar") == ShardSet(
        f"{folder}", ("x/a.tar", "y/b.tar", "y/c.tar")
    )
    listed = [f"{folder}/y/c.tar", f"{folder}/y/b.tar", f"{folder}/y/c.tar"]
    assert open_source(listed) == ShardSet(f"{folder}/y", ("b.tar", "c.tar"))
    monkeypatch.chdir(folder / "y")
    assert open_source("b.tar") == open_source("./[b].tar") == open_source(f"{folder}/y/b.tar")


def test_a_shard_whose_path_looks_like_a_glob_is_that_shard(touch):
    folder = touch("br [x]/a[1].tar")
    assert open_shards(f"{folder}/br [x]/a[1].tar").names == ("a[1].tar",)


def test_a_list_may_be_of_paths_of_pathlib(touch):
    folder = touch("a.tar", "b.tar")
    assert open_shards(sorted(Path(folder).glob("*.tar"))).names == ("a.tar", "b.tar")


def test_links_to_shards_are_shards_as_a_download_cache_has_them(touch):
    folder = touch("blobs/1a2b")
    (folder / "a.tar").symlink_to(folder / "blobs" / "1a2b")
    assert open_source(f"{folder}").names == ("a.tar",)


def test_shards_behind_a_url_are_found_in_the_same_ways():
    remote = fsspec.filesystem("memory")
    for name in ("s/a.tar", "s/b.tar", "both/a.tar", "both/1.json", "loose/1.json"):
        remote.pipe_file(f"/found/{name}", b"")
    shards = ShardSet("memory://found/s", ("a.tar", "b.tar"))
    assert open_source("memory://found/s") == shards
    assert open_source("memory://found/s/*.tar").names == shards.names
    assert open_source("memory://found/s/a.tar") == ShardSet("memory://found/s", ("a.tar",))
    assert open_source("memory://found/loose") == RemoteFolder("memory://found/loose")
    assert open_source("memory://found/both") == RemoteFolder("memory://found/both")
    assert open_shards("memory://found/both").names == ("a.tar",)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar.zst"])
def test_packed_shards_are_refused_with_the_mend_even_beside_others(name, touch):
    folder = touch(name, "b.tar")
    for source in (f"{folder}", f"{folder}/{name}", [f"{folder}/{name}"]):
        with pytest.raises(UsageError, match="is compressed"):
            open_source(source)


def test_what_is_no_shard_is_refused(touch):
    folder = touch("a.zip", "data/1.json")
    with pytest.raises(UsageError, match=r"a\.zip is no \.tar shard"):
        open_source([f"{folder}/a.zip"])
    with pytest.raises(UsageError, match="No shard is named by"):
        open_source(f"{folder}/*.tar")
    with pytest.raises(UsageError, match="No shard is named by"):
        open_shards(f"{folder}/data")
    with pytest.raises(UsageError, match="is not there"):
        open_shards(f"{folder}/no")
    with pytest.raises(UsageError, match="No shard is named by the list"):
        open_source([])
    with pytest.raises(UsageError, match="cannot be opened"):
        open_shards("no-such-protocol://x/a*.tar")


def test_shards_of_a_disk_and_of_a_url_have_no_folder_in_common(touch):
    with pytest.raises(UsageError, match="no folder in common"):
        open_source([f"{touch('a.tar')}/a.tar", "memory://x/b.tar"])


def test_what_opening_gave_is_taken_again(touch):
    for path in (touch("a.tar"), touch("deep/1.json") / "deep"):
        assert open_source(open_source(os.fspath(path))) == open_source(path)


def test_a_shard_whose_name_is_not_utf8_is_refused(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.tar")
    with open(name, "wb"):
        pass
    with pytest.raises(UsageError, match="is not UTF-8: give it another name"):
        open_shards(tmp_path)
