"""A table on a store that is no disk: a class and a line in `STORES`, and a compile runs there."""

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import dask
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cutline
from cutline.captions import write_captions
from cutline.demo import DemoOptions, make_demo
from cutline.plan import ledger
from cutline.store import TableFiles, parquet
from cutline.store.table_store import STORES
from cutline.table import CompileOptions, compile_table
from cutline.table.head import first_rows
from trees import tree

FILES = {}  # name -> (version, bytes): what "the other store" holds, seen by this process only
VERSIONS = count()


@dataclass(frozen=True)
class Memory:
    """A store without folders, as those of objects are."""

    def open(self, name):
        return pa.BufferReader(held(name)[1])

    def version(self, name):
        return (held(name)[0],)

    def is_folder(self, name):
        return any(other.startswith(f"{name}/") for other in FILES)

    def sizes(self, folder):
        below = f"{folder}/"
        names = [name.removeprefix(below) for name in FILES if name.startswith(below)]
        return {name: len(FILES[below + name][1]) for name in names if "/" not in name}

    def check_table(self, name):
        pass

    @contextmanager
    def publish(self, name):
        file = io.BytesIO()
        yield file
        FILES[name] = next(VERSIONS), file.getvalue()

    def make_folder(self, folder):
        pass

    def remove(self, name):
        FILES.pop(name, None)

    @contextmanager
    def locked(self, *_, **__):
        yield self


def held(name):
    if name not in FILES:
        raise FileNotFoundError(name)
    return FILES[name]


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setitem(STORES, "memory", Memory)
    FILES.clear()
    with dask.config.set(scheduler="synchronous"):
        yield "memory://bucket/set.parquet"


@pytest.fixture(params=["loose", "shards"])
def data(request, tmp_path):
    make_demo(tmp_path / "demo", DemoOptions(records=600, images=False, form=request.param))
    return tmp_path / "demo" / "data"


OPTIONS = CompileOptions(partition_size=100)


def test_a_table_on_another_store_has_the_files_and_bytes_of_one_on_a_disk(data, table, tmp_path):
    os.mkdir(tmp_path / "disk")
    compile_table(data, tmp_path / "disk" / "set.parquet", OPTIONS)
    before = set(tree(tmp_path))
    summary = compile_table(data, table, OPTIONS)
    assert set(tree(tmp_path)) == before
    assert summary.rows == parquet.footer_of(Memory(), table).num_rows > 0
    there = {name.removeprefix("memory://bucket/"): data for name, (_, data) in FILES.items()}
    files = {name: data for name, data in tree(tmp_path / "disk").items() if data is not None}
    assert there.keys() == files.keys()
    own = {name for name in there if name.endswith(("/timings", "/merged"))}  # clocks and versions
    assert {name for name in there if there[name] != files[name]} <= own


def test_a_second_run_keeps_the_parts_and_the_table_of_another_store(data, table):
    compile_table(data, table, OPTIONS)
    before = {name: version for name, (version, _) in FILES.items()}
    again = compile_table(data, table, OPTIONS)
    assert again.reused_parts == again.parts > 1
    changed = {name for name, (version, _) in FILES.items() if before[name] != version}
    assert changed == {"memory://bucket/set.cutline/timings"}


def test_a_part_that_another_store_has_lost_is_made_again(data, table):
    last = compile_table(data, table, OPTIONS).parts - 1  # no duplicate is settled behind it
    files = TableFiles.of(table)
    whole = FILES[files.table][1]
    files.store.remove(files.part(last))
    again = compile_table(data, table, OPTIONS)
    assert again.reused_parts == again.parts - 1
    assert FILES[files.table][1] == whole


def test_table_parts_and_ledger_of_another_store_are_read(data, table):
    summary = compile_table(data, table, OPTIONS)
    files = TableFiles.of(table)
    rows = pq.read_table(io.BytesIO(FILES[table][1])).slice(0, 5)
    assert first_rows(table, 5) == first_rows(files.parts, 5) == rows
    assert first_rows(files.ledger, 1)["reason"][0].as_py() in summary.rejects
    lines = ledger.count_reasons(files.ledger)
    assert {line.reason: line.number for line in lines} == summary.rejects
    assert parquet.is_there(files.ledger)
    with parquet.open_parquet(table) as file:
        assert file.metadata.num_rows == summary.rows


def test_captions_are_written_from_a_table_on_another_store(table, data, tmp_path):
    summary = compile_table(data, table, OPTIONS)
    os.mkdir(tmp_path / "images")
    assert write_captions(table, tmp_path / "images").written == summary.rows


def test_a_url_that_no_store_is_for_is_refused(tmp_path):
    with pytest.raises(cutline.UsageError, match="is a URL: name a file on a disk"):
        compile_table(tmp_path, "s3://bucket/set.parquet")


def test_files_of_a_table_on_another_store_are_removed_without_a_trace(data, table):
    compile_table(data, table, OPTIONS)
    FILES["memory://bucket/other.parquet"] = (0, b"stays")
    TableFiles.of(table).remove()
    assert list(FILES) == ["memory://bucket/other.parquet"]
