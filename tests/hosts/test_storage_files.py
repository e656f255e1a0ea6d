"""A worker that sees another folder of caption files, images or shards than the client does."""

import shutil

import pyarrow.parquet as pq
import pytest

import cutline
from datasets_at_home import PARTITION, Outcome, at_home, without_seconds
from hosts import empty, instead
from nodes import dask_on_hosts
from storage import Wanted


@pytest.fixture
def compiled(datasets, place):
    """Yield a table in row groups of ten, so that every worker gets some, and its folder."""
    data, table = datasets.copy_loose(place)
    (place / "t.parquet").write_bytes(datasets.of_loose.table)
    pq.write_table(pq.read_table(place / "t.parquet"), table, row_group_size=10)
    return table, data


def captions_only(table, captions):
    return Outcome(table.read_bytes(), None, captions)


@pytest.mark.parametrize("copied", [False, True], ids=["E: an empty DATA", "F: a copy of DATA"])
def test_no_caption_file_is_lost_on_a_private_disk(cluster, datasets, place, compiled, copied):
    table, data = compiled
    wanted = Wanted(table, data, captions_only(table, datasets.of_loose.captions), data)
    mount = instead(data, shutil.copytree(data, place / "copy")) if copied else empty(data)
    with cluster.worker("odd", mount):
        wanted.check_right_or_told(cluster.cutline("captions", table, data))
    wanted.check_right(cluster.cutline("captions", table, data))


def test_captions_of_sidecars_are_lost_on_no_private_disk(cluster, datasets, place):
    """Case X1: the table is made on the way."""
    data, table = datasets.copy_loose(place)
    wanted = Wanted(table, data, Outcome(None, None, datasets.of_loose.captions), data)
    with cluster.worker("odd", empty(data)):
        wanted.check_right_or_told(cluster.cutline("captions", data, data, *PARTITION))
    wanted.check_right(cluster.cutline("captions", data, data, *PARTITION))


def write_captions(datasets, data, *, torn=0):
    for name, caption in datasets.of_loose.captions.items():
        (data / name).write_bytes(caption)
    for name in sorted(datasets.of_loose.captions)[:torn]:
        (data / name).write_bytes(b"torn")


@pytest.mark.parametrize("copied", [False, True], ids=["E: an empty DATA", "V: a stale copy"])
def test_verify_reads_what_the_client_sees(cluster, datasets, place, compiled, copied):
    table, data = compiled
    write_captions(datasets, data)
    mount = instead(data, shutil.copytree(data, place / "copy")) if copied else empty(data)
    write_captions(datasets, data, torn=100)
    with at_home():
        home = cutline.verify_dataset(table, data)
    with cluster.worker("odd", mount):
        result = cluster.cutline("verify", table, data, "--json", "--quiet")
    assert Wanted(table, data, None, data).is_told(result.stderr), result.stderr
    if result.stdout:
        assert without_seconds(result.stdout) == without_seconds(home)


def test_verify_says_nothing_where_the_only_worker_sees_a_copy(
    hosts, work, datasets, place, compiled
):
    """Case V with nobody else: there is no right answer, so there is none."""
    table, data = compiled
    write_captions(datasets, data)
    mount = instead(data, shutil.copytree(data, place / "copy"))
    write_captions(datasets, data, torn=100)
    folder = work / "dask.lonely"
    folder.mkdir()
    with dask_on_hosts(hosts, folder, port=8790) as lonely, lonely.worker("odd", mount):
        result = lonely.cutline("verify", table, data, "--json", "--quiet")
    assert result.returncode == 1
    assert result.stdout == ""
    assert Wanted(table, data, None, data).is_told(result.stderr), result.stderr


def members(folder):
    """Return the names and sizes of all that was unpacked."""
    return {path.name: path.lstat().st_size for path in folder.iterdir() if path.name != ".cutline"}


def test_no_member_is_lost_on_a_private_disk(cluster, datasets, place):
    """Case G: extract."""
    shards, _ = datasets.copy_shards(place)
    data, home = place / "data", place / "home"
    with at_home():
        cutline.extract(shards, home)
    with cluster.worker("odd", empty(data)):
        result = cluster.cutline("extract", shards, data)
    assert Wanted(None, data, None, data).is_told(result.stdout + result.stderr), result.stderr
    if result.returncode == 0:
        assert members(data) == members(home)
    again = cluster.cutline("extract", shards, data)
    assert again.returncode == 0, again.stderr
    assert members(data) == members(home)


@pytest.mark.parametrize("private", ["data", "."], ids=["R: an empty data", "H: a copy of ROOT"])
def test_the_whole_recipe_is_right_where_one_worker_has_private_folders(
    cluster, datasets, place, private
):
    root = place / "root"
    datasets.copy_root(root)
    (root / "data").mkdir()
    wanted = Wanted(root / "root.parquet", root / "data", datasets.of_root, root, status=1)
    copy = shutil.copytree(root / private, place / "copy")
    with cluster.worker("odd", instead(root / private, copy)):
        wanted.check_right_or_told(cluster.cutline("run", root, *PARTITION))
    wanted.check_right(cluster.cutline("run", root, *PARTITION))
