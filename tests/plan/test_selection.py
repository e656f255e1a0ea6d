"""A part of the sidecars: which ones, whatever the order of shards, workers and parts."""

import io
import json
import os
import tarfile
from dataclasses import replace
from hashlib import blake2b

import dask
import pyarrow as pa
import pytest

from cutline.errors import UsageError
from cutline.extract import ExtractOptions, extract
from cutline.plan.planning import Selection
from cutline.sources import local_folder
from cutline.sources.local_folder import Folder
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from outputs import rows_of
from sidecars import numbered, record, write_sidecars

ANY = CompileOptions(partition_size=7, max_rejects=1)


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


def chosen(numbers, count, seed):
    """The samples that a hash chooses, as plainly as it can be said."""

    def key(number):
        return blake2b(f"{number:03}".encode(), key=str(seed).encode(), digest_size=8).digest()

    return sorted(sorted(numbers, key=key)[:count])


def names(table):
    return sorted(int(row[3][:3]) for row in rows_of(table))


def compiled(source, table, **selection):
    compile_table(source, table, replace(ANY, selection=Selection(**selection)))
    return names(table)


def write_shards(folder, numbers, shards):
    """Samples dealt to shards in the order that they are given."""
    os.makedirs(folder)
    for place in range(shards):
        with tarfile.open(f"{folder}/{place}.tar", "w") as shard:
            for number in numbers[place::shards]:
                image = f"{number:03}.png"
                for name, data in (
                    (f"{number:03}.json", json.dumps(record(image)).encode()),
                    (image, b"image"),
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    shard.addfile(info, io.BytesIO(data))
    return folder


@pytest.mark.parametrize("seed", [0, 1, -7])
def test_a_sample_is_the_same_from_files_and_from_shards_in_any_order(tmp_path, seed):
    data = write_sidecars(tmp_path / "data", numbered(60))
    table = tmp_path / "t.parquet"
    expected = chosen(range(60), 13, seed)
    assert compiled(data, table, sample=13, seed=seed) == expected
    for name, numbers, shards in (("a", range(60), 3), ("b", range(59, -1, -1), 4)):
        source = write_shards(f"{tmp_path}/{name}", [*numbers], shards)
        assert compiled(source, table, sample=13, seed=seed) == expected


def test_another_seed_is_another_sample_and_a_larger_sample_holds_a_smaller_one(tmp_path):
    data = write_sidecars(tmp_path / "data", numbered(60))
    table = tmp_path / "t.parquet"
    few = compiled(data, table, sample=10)
    assert compiled(data, table, sample=10, seed=1) != few
    assert set(few) < set(compiled(data, table, sample=20))
    assert compiled(data, table, sample=1000) == [*range(60)]


def test_a_limit_takes_the_first_by_their_paths(tmp_path):
    folders = ("b/", "", "a/", "a.d/", "a/c/")
    files = {f"{folder}{name}": {} for folder in folders for name in numbered(5)}
    data = write_sidecars(tmp_path / "data", files)
    paths = sorted(path.encode() for path in files)
    for limit in range(1, 27):
        assert Folder(data).list(limit=limit)["path"].to_pylist() == paths[:limit]


def test_a_limit_lists_no_folder_that_comes_after_it(tmp_path, monkeypatch):
    files = {f"{folder}/{name}": fields for folder in "abc" for name, fields in numbered(5).items()}
    data = write_sidecars(tmp_path / "data", files)
    listed, scanned = [], local_folder.scanned
    monkeypatch.setattr(
        local_folder, "scanned", lambda *args: listed.append(args[1]) or scanned(*args)
    )
    assert len(Folder(data).list(limit=7)) == 7
    assert listed == [b"", b"a/", b"b/"]


def test_a_limit_indexes_no_shard_that_it_does_not_need(tmp_path):
    source = write_shards(f"{tmp_path}/shards", [*range(60)], 10)
    table = tmp_path / "t.parquet"
    assert compiled(source, table, limit=8) == sorted([*range(0, 60, 10), 1, 11])
    assert len(os.listdir(tmp_path / "t.cutline" / "shards")) == 2


@pytest.mark.parametrize("selection", [Selection(limit=9), Selection(sample=9, seed=4)])
def test_what_is_extracted_of_a_part_is_all_of_its_samples_and_nothing_else(tmp_path, selection):
    source = write_shards(f"{tmp_path}/shards", [*range(40)], 3)
    extract(source, tmp_path / "out", ExtractOptions(selection=selection))
    table = tmp_path / "t.parquet"
    compile_table(source, table, replace(ANY, selection=selection))
    numbers = names(table)
    assert len(numbers) == 9
    expected = {f"{number:03}.{form}" for number in numbers for form in ("json", "png")}
    assert {name for name in os.listdir(tmp_path / "out") if name[0] != "."} == expected
    compile_table(tmp_path / "out", table, replace(ANY, selection=selection))
    assert names(table) == numbers


def test_a_part_and_then_all_of_it_are_tables_of_their_own(tmp_path):
    data = write_sidecars(tmp_path / "data", numbered(30))
    table = tmp_path / "t.parquet"
    assert compiled(data, table, limit=14) == [*range(14)]
    summary = compile_table(data, table, ANY)
    assert names(table) == [*range(30)]
    assert summary.reused_parts == 2  # the first two of seven are the same parts


def test_numbers_that_take_nothing_or_contradict_each_other_are_refused():
    for fault, said in (
        ({"limit": 0}, "raise --limit"),
        ({"sample": 0}, "raise --sample"),
        ({"limit": 1, "sample": 1}, "give --limit or --sample"),
    ):
        with pytest.raises(UsageError, match=said):
            Selection(**fault)


def test_of_paths_that_come_twice_both_are_taken_or_none():
    paths = [f"{number % 10}.json".encode() for number in range(20)]
    lines = pa.table({"path": pa.array(paths, pa.binary())})
    taken = Selection(sample=6).of(lines)["path"].to_pylist()
    assert len(taken) == 6
    assert all(taken.count(path) == 2 for path in taken)
