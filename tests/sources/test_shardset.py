import os
import socket
from pathlib import Path

import fsspec
import pytest

from cutline.errors import CutlineError, UsageError
from cutline.recipe import run
from cutline.sources.local_folder import Folder
from cutline.sources.opening import open_source
from cutline.sources.remote_folder import RemoteFolder
from cutline.sources.shard_names import ShardSet, open_shards, passed_over
from cutline.sources.tar.walking import PackedError, walk
from cutline.table import compile_table
from tar_bytes import Reader


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


def test_what_the_trainer_writes_beside_shards_is_no_sidecar_that_would_hide_them(touch):
    folder = touch("a.tar", "aspect_ratio_bucket_indices_x.json", "multidatabackend.json")
    assert open_source(f"{folder}").names == ("a.tar",)


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
    folder = touch("a.png", "data/1.json")
    with pytest.raises(UsageError, match=r"a\.png is no \.tar shard"):
        open_source([f"{folder}/a.png"])
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


# What bears a shard's name and is none that can be read.

ODD = [
    ("b.tar.part", "is an unfinished download: finish the download"),
    ("b.tar.crdownload", "is an unfinished download"),
    ("b.TAR.Incomplete", "is an unfinished download"),
    ("b.tar.aria2", "is an unfinished download"),
    ("b.tar.filepart", "is an unfinished download"),
    ("b.tar.gz", "is compressed, and only .tar is read: unpack it"),
    ("b.TGZ", "is compressed"),
    ("b.tar.bz2", "is compressed"),
    ("b.tar.xz", "is compressed"),
    ("b.tar.lz4", "is compressed"),
    ("b.tar.Z", "is compressed"),
    ("b.tar.001", "is a piece of a shard: join the pieces"),
    ("b.tar.partaa", "is a piece of a shard"),
    ("b.tar.ab", "is a piece of a shard"),
    ("b.zip", "is an archive of another kind"),
    ("b.7z", "is an archive of another kind"),
    ("b.RAR", "is an archive of another kind"),
]


@pytest.mark.parametrize(("name", "why"), ODD)
def test_what_stands_for_a_shard_beside_others_is_refused_with_what_reads_it(name, why, touch):
    folder = touch("a.tar", name)
    remote = fsspec.filesystem("memory")
    for one in ("a.tar", name):
        remote.pipe_file(f"/odd-{name}/{one}", b"")
    sources = [f"{folder}", f"{folder}/{name}", f"{folder}/*", [f"{folder}/{name}"]]
    for source in (*sources, f"memory://odd-{name}", f"memory://odd-{name}/*"):
        with pytest.raises(UsageError, match=why):
            open_shards(source)


@pytest.mark.parametrize("name", ["a.tar.md5", "a.tar.idx", "a.tar.json.bak", "b.tart", "x.target"])
def test_what_only_describes_a_shard_is_no_shard(name, touch):
    assert open_shards(touch("a.tar", name)).names == ("a.tar",)


def test_a_shard_in_capital_letters_is_one(touch):
    folder = touch("a.TAR", "b.Tar", "c.tar")
    assert open_source(folder).names == ("a.TAR", "b.Tar", "c.tar")
    assert open_source(f"{folder}/a.TAR").names == ("a.TAR",)
    fsspec.filesystem("memory").pipe_file("/capital/a.TAR", b"")
    assert open_source("memory://capital").names == ("a.TAR",)


def make_folder(path):
    path.mkdir()


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to("nowhere"), "a link to nowhere: fetch what it leads to"),
        (lambda path: path.symlink_to(path), "cannot be looked at"),
        (make_folder, "a folder: give it another name"),
        (os.mkfifo, "a pipe"),
        (make_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
    ],
)
def test_what_has_a_shards_name_and_is_no_file_is_refused_beside_others(make, what, touch):
    folder = touch("a.tar")
    make(folder / "p-1.tar")
    for source in (folder, f"{folder}/*.tar", [f"{folder}/p-1.tar"]):
        with pytest.raises(UsageError, match=what):
            open_shards(source)
    if what != "a folder: give it another name":
        os.remove(folder / "a.tar")
        with pytest.raises(UsageError, match=what):  # also alone
            open_source(folder)


def test_a_remote_folder_with_a_shards_name_is_refused_beside_others():
    remote = fsspec.filesystem("memory")
    remote.pipe_file("/kinds/a.tar", b"")
    remote.pipe_file("/kinds/b.tar/1.json", b"")
    with pytest.raises(UsageError, match=r"kinds/b\.tar has the name of a shard and is a folder"):
        open_source("memory://kinds")


def test_what_is_passed_over_is_told(touch):
    folder = touch("a.tar", "deep/b.tar", "deeper/still/c.tar", "d/e.tar.part", "known/x.tar")
    (line,) = passed_over(folder, f"{folder}/known")
    assert line == (
        f"Passed over the shards in 2 folders below {folder}: name a folder, such as {folder}/d, or"
        f" the glob '{folder}/*/*.tar'."
    )
    for source in (f"{folder}/deeper/still", [f"{folder}/a.tar"], "memory://x", f"{folder}/none"):
        assert passed_over(source) == []
    touch("loose/1.json", "loose/models.zip")
    (line,) = passed_over(folder / "loose")
    assert line == (
        f"Passed over 1 files in {folder}/loose, such as models.zip, which is an archive of another"
        " kind, and only .tar is read: unpack what belongs to the dataset."
    )
    for shards_deeper in (f"{folder}/deeper", folder / "deeper"):
        with pytest.raises(UsageError, match=r"such as .*/deeper/still, or the glob"):
            open_shards(shards_deeper)


def test_shards_one_folder_deeper_are_named_where_there_is_nothing_else(touch):
    folder = touch("set/train/a.tar")
    with pytest.raises(
        CutlineError, match=r"no \.json file in .* such as .*/set/train, or the glob"
    ):
        compile_table(f"{folder}/set", f"{folder}/t.parquet")
    with pytest.raises(
        UsageError, match=r"nothing to prepare in .* such as .*/set/train, or the glob"
    ):
        run(folder / "set")


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"PK\x03\x04", "is a ZIP file, and only plain tar is read: use unzip first"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z file"),
        (b"\x1f\x8b", "is compressed with gzip, and only plain tar is read: use gunzip first"),
    ],
)
def test_another_file_that_is_called_a_shard_is_told_by_what_it_is(begin, what):
    with pytest.raises(PackedError, match=what):
        list(walk(Reader(begin + bytes(2000)), 2000))
