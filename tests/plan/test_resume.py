"""What is found of the run before; what comes of it is in `test_table_again`."""

import os
import shutil
import tempfile
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutline.errors import CutlineError
from cutline.plan.planning import make_plan
from cutline.progress.watcher import SILENT
from cutline.sources.line_format import LINES
from cutline.sources.local_folder import Folder
from cutline.store.table_files import TableFiles
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from outputs import files_of
from sidecars import numbered, record, write_sidecars

OPTIONS = CompileOptions(partition_size=5)


class Listing(Folder):
    """A folder whose listing tells something else than what is there."""

    __slots__ = ("lines",)

    def __init__(self, root, lines):
        super().__init__(root)
        object.__setattr__(self, "lines", lines)

    def list(self, refused=None, limit=None):  # noqa: ARG002
        return self.lines


@pytest.fixture
def source(tmp_path):
    """Twenty sidecars."""
    return Folder(write_sidecars(tmp_path / "data", numbered(20)))


@pytest.fixture
def files(tmp_path, source):
    """What they were compiled to, in four parts."""
    compile_table(source, tmp_path / "t.parquet", OPTIONS)
    return TableFiles.of(tmp_path / "t.parquet")


def plan_again(source, files, client=None):
    """Make a plan of a source, where the files of a table are."""
    files.workspace.make()
    return make_plan(source, files, OPTIONS.planning, client, SILENT)


def held(source, files, lines=None, client=None):
    """The parts whose receipts hold for what is listed, or for some lines; nothing is changed."""
    with tempfile.TemporaryDirectory() as copies:
        for folder in (files.parts, files.workspace.folder):
            shutil.copytree(folder, os.path.join(copies, os.path.basename(folder)))
        origin = source if lines is None else Listing(source.root, lines)
        plan = plan_again(origin, TableFiles.of(f"{copies}/t.parquet"), client)
    return sorted(receipt.index for receipt in plan.kept)


def test_every_receipt_holds_while_nothing_changes(source, files, client):
    assert held(source, files) == [0, 1, 2, 3]
    assert held(source, files, client=client) == [0, 1, 2, 3]


def test_a_receipt_holds_for_the_same_lines_of_the_same_part_only(source, files):
    lines = source.list()
    others = lines.set_column(0, LINES[0], pa.array([b"x.json"] * 20, pa.binary()))
    assert held(source, files, pa.concat_tables([lines[:10], others[10:]])) == [0, 1]
    assert held(source, files, pa.concat_tables([lines[:5], lines[10:]])) == [0]
    assert held(source, files, lines[:9]) == [0]
    assert held(source, files, pa.concat_tables([lines, others])) == [0, 1, 2, 3]


def test_a_listing_without_a_sidecar_leaves_the_plan_that_is_there(source, files):
    with pytest.raises(CutlineError, match=r"There is no \.json file in .*/data: "):
        plan_again(Listing(source.root, source.list()[:0]), files)
    assert held(source, files) == [0, 1, 2, 3]


def test_a_listing_that_tells_of_another_time_is_another(source, files):
    lines = source.list()
    stamped = lines.set_column(2, LINES[2], pa.array([None] * 7 + ["later"] + [None] * 12))
    assert held(source, files, stamped) == [0, 2, 3]


def test_a_plan_is_written_again_unless_all_of_it_holds_and_is_all_there_is(source, files):
    lines = source.list()
    before = identity(files.plan)
    plan = plan_again(source, files)
    assert [part.index for part in plan.parts] == [0, 1, 2, 3]
    assert plan.missing == []
    assert identity(files.plan) == before
    os.remove(files.part(1))
    assert [part.index for part in plan_again(source, files).missing] == [1]
    assert identity(files.plan) != before
    compile_table(source, files.table, OPTIONS)
    before = identity(files.plan)
    twice = plan_again(Listing(source.root, pa.concat_tables([lines, lines])), files)
    assert [part.index for part in twice.missing] == [4, 5, 6, 7]
    assert identity(files.plan) != before


def identity(path):
    """Which file a path is; it is kept, so that no other gets its inode."""
    os.link(path, f"{path}.{uuid.uuid4()}")
    return os.stat(path).st_ino


def test_parts_and_rejects_that_no_plan_has_any_more_are_removed(source, files):
    write_sidecars(source.root, {"018.json": b"[]"})
    compile_table(source, files.table, OPTIONS)
    (rejects,) = os.listdir(files.rejects)
    plan_again(source, files)
    assert os.listdir(files.rejects) == [rejects]
    plan_again(Listing(source.root, source.list()[:10]), files)
    assert sorted(os.listdir(files.parts)) == ["part-00000.parquet", "part-00001.parquet"]
    assert os.listdir(files.rejects) == []


def test_a_part_that_is_gone_is_not_looked_at(source, files):
    os.remove(files.part(2))
    assert held(source, files) == [0, 1, 3]


@pytest.mark.parametrize("at", [0, 4, 300, -300, -4])
def test_a_damaged_plan_costs_the_parts_and_nothing_else(source, files, at):
    before = files_of(files.table)
    with open(files.plan, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(b"\xff" * 4)
    compile_table(source.root, files.table, OPTIONS)
    assert files_of(files.table) == before
    assert held(source, files) == [0, 1, 2, 3]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_damaged_in_a_plan_nothing_stale_is_found(source, files, data):
    with open(files.plan, "rb") as file:
        plan = file.read()
    damaged = bytearray(plan)
    for at in data.draw(st.lists(st.integers(0, len(plan) - 1), min_size=1, max_size=3)):
        damaged[at] = data.draw(st.integers(0, 255))
    with open(files.plan, "wb") as file:
        file.write(damaged)
    try:
        assert set(held(source, files)) <= {0, 1, 2, 3}
    finally:
        with open(files.plan, "wb") as file:
            file.write(plan)


def test_a_plan_of_another_version_is_none(source, files):
    plan = pq.read_table(files.plan)
    pq.write_table(plan.drop_columns("fault"), files.plan)
    assert held(source, files) == []


def test_a_run_on_something_else_that_was_stopped_leaves_no_stale_part(source, files, tmp_path):
    other = write_sidecars(tmp_path / "other", {name: record("other.png") for name in numbered(20)})
    before = files_of(files.table)
    with pytest.raises(CutlineError, match="full"):
        compile_table(other, files.table, OPTIONS, watcher=Full())
    shutil.rmtree(other)
    compile_table(source.root, files.table, OPTIONS)
    assert files_of(files.table) == before


class Full:
    """A watcher that cannot write down that rows are made."""

    def stage(self, name, load):
        if name == "compile-rows":
            raise OSError("the log's disk is full")
        return SILENT.stage(name, load)

    def say(self, line): ...

    def report(self, summary): ...
