"""The index for the wids package, read by the package itself where it is installed."""

import json
import os
import shutil
import sys
import types
import warnings
from itertools import groupby
from typing import Generic, TypeVar

import pytest

from cutline import DemoOptions, make_demo
from cutline.errors import UsageError
from cutline.table import compile_table
from cutline.trainers import export
from shards_at_home import ShardSet, sample

T = TypeVar("T")


class Dataset(Generic[T]):
    """What torch's has for one that is read by number: nothing."""


@pytest.fixture
def wids(monkeypatch):
    """The package, with a torch that has only what it derives from."""
    for name in ("torch", "torch.distributed", "torch.utils", "torch.utils.data"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        above, _, own = name.rpartition(".")
        if above:
            setattr(sys.modules[above], own, sys.modules[name])
    sys.modules["torch.utils.data"].Dataset = Dataset
    sys.modules["torch.utils.data"].Sampler = object
    with warnings.catch_warnings(action="ignore"):  # it has escapes that are none
        return pytest.importorskip("wids", reason="webdataset 0.2 has it")


def exported(table):
    out = str(table).removesuffix(".parquet") + ".wids.json"
    return out, export(table, out, "wids")


def test_wids_reads_every_sample_of_the_shards_by_its_number(wids, tmp_path):
    dataset = ShardSet(tmp_path / "demo")
    shutil.rmtree(dataset.root)
    make_demo(dataset.root, DemoOptions(200, form="shards"))
    dataset.compile()
    out, count = exported(dataset.table)
    read = wids.ShardListDataset(out, cache_dir=str(tmp_path / "cache"), transformations=[])
    keys = [read[number]["__key__"] for number in range(len(read))]
    names = [(shard, name.partition(".")[0]) for shard, name in dataset.members()]
    assert keys == [key for (_, key), _ in groupby(names)]
    assert count == len(read) == len(keys)
    with pytest.raises(IndexError):
        read[len(read)]


def test_wids_finds_the_bytes_of_each_member_and_counts_keys_as_it_does(wids, tmp_path):
    dataset = ShardSet(tmp_path / "set")
    extra = [("README", b"no extension"), ("x.y.txt", b"of the key x"), ("sub.d/z.txt", b"z")]
    dataset.write(a=[*sample("x"), *extra], b=[*sample("u"), *sample("v")]).compile()
    out, count = exported(dataset.table)
    read = wids.ShardListDataset(out, cache_dir=str(tmp_path / "cache"), transformations=[])
    members = dataset.members()
    samples = [read[number] for number in range(count)]
    assert [one["__key__"] for one in samples] == ["x", "sub.d/z", "u", "v"]
    assert samples[0][".png"].read() == members["a", "x.png"]
    assert samples[3][".json"].read() == members["b", "v.json"]


def test_the_index_names_each_shard_with_its_size(tmp_path):
    dataset = ShardSet(tmp_path / "set").write(a=sample("x"), b=[*sample("y"), *sample("z")])
    dataset.compile()
    out, count = exported(dataset.table)
    with open(out) as file:
        content = json.load(file)
    paths = [str(dataset.data / "a.tar"), str(dataset.data / "b.tar")]
    assert count == 3
    assert content == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": [
            {"url": path, "nsamples": number, "filesize": os.path.getsize(path)}
            for path, number in zip(paths, (1, 2), strict=True)
        ],
    }


def test_an_index_among_the_shards_is_no_sidecar(tmp_path):
    dataset = ShardSet(tmp_path / "set").write(a=sample("x"))
    table = dataset.data / "x.parquet"
    compile_table(dataset.data, table)
    exported(table)
    assert compile_table(dataset.data, table).rows == 1


def test_another_ending_is_refused(tmp_path):
    dataset = ShardSet(tmp_path / "set").write(a=sample("x"))
    dataset.compile()
    with pytest.raises(UsageError, match=r"wids is read from \*\.wids\.json"):
        export(dataset.table, dataset.root / "x.json", "wids")
