"""What is found of the run before; what comes of it is in `test_table_again`."""

import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutline.errors import CutlineError
from cutline.plan import planning
from cutline.progress.watcher import SILENT
from cutline.sources.line_format import LINES
from cutline.sources.local_folder import Folder
from cutline.store.table_files import TableFiles
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from cutline.table.part_files import Job
from outputs import files_of
from sidecars import numbered, record, write_sidecars

OPTIONS = CompileOptions(partition_size=5)


@pytest.fixture
def job(tmp_path):
    """Twenty sidecars that were compiled in four parts."""
    source = write_sidecars(tmp_path / "data", numbered(20))
    compile_table(source, tmp_path / "t.parquet", OPTIONS)
    return Job(Folder(source), TableFiles.of(tmp_path / "t.parquet"), OPTIONS)


def held(job, lines=None, client=None):
    """The parts whose receipts hold for what is listed, or for some lines."""
    with planning.look(job, client, SILENT) as before:
        found = before.receipts(job.source.list() if lines is None else lines)
    return sorted(receipt.index for receipt in found)


def test_every_receipt_holds_while_nothing_changes(job, client):
    assert held(job) == [0, 1, 2, 3]
    assert held(job, client=client) == [0, 1, 2, 3]


def test_a_receipt_holds_for_the_same_lines_of_the_same_part_only(job):
    lines = job.source.list()
    others = lines.set_column(0, LINES[0], pa.array([b"x.json"] * 20, pa.binary()))
    assert held(job, pa.concat_tables([lines[:10], others[10:]])) == [0, 1]
    assert held(job, pa.concat_tables([lines[:5], lines[10:]])) == [0]
    assert held(job, lines[:9]) == [0]
    assert held(job, lines[:0]) == []
    assert held(job, pa.concat_tables([lines, others])) == [0, 1, 2, 3]


def test_a_listing_that_tells_of_another_time_is_another(job):
    lines = job.source.list()
    stamped = lines.set_column(2, LINES[2], pa.array([None] * 7 + ["later"] + [None] * 12))
    assert held(job, stamped) == [0, 2, 3]


def test_a_plan_is_kept_only_if_all_of_it_holds_and_is_all_there_is(job):
    lines = job.source.list()
    with planning.look(job, None, SILENT) as before:
        held = before.receipts(lines)
    assert [part.index for part in before.plan_of(lines, held)] == [0, 1, 2, 3]
    assert before.plan_of(lines, held[1:]) == []
    assert before.plan_of(pa.concat_tables([lines, lines]), held) == []
    inode = os.stat(job.outputs.plan).st_ino
    compile_table(job.source.root, job.outputs.table, OPTIONS)
    assert os.stat(job.outputs.plan).st_ino == inode
    compile_table(job.source.root, job.outputs.table, CompileOptions(partition_size=6))
    assert os.stat(job.outputs.plan).st_ino != inode


def test_a_part_that_is_gone_is_not_looked_at(job):
    os.remove(job.outputs.part(2))
    assert held(job) == [0, 1, 3]


@pytest.mark.parametrize("at", [0, 4, 300, -300, -4])
def test_a_damaged_plan_costs_the_parts_and_nothing_else(job, at):
    before = files_of(job.outputs.table)
    with open(job.outputs.plan, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(b"\xff" * 4)
    compile_table(job.source.root, job.outputs.table, OPTIONS)
    assert files_of(job.outputs.table) == before
    assert held(job) == [0, 1, 2, 3]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_damaged_in_a_plan_nothing_stale_is_found(job, data):
    with open(job.outputs.plan, "rb") as file:
        plan = file.read()
    damaged = bytearray(plan)
    for at in data.draw(st.lists(st.integers(0, len(plan) - 1), min_size=1, max_size=3)):
        damaged[at] = data.draw(st.integers(0, 255))
    with open(job.outputs.plan, "wb") as file:
        file.write(damaged)
    try:
        assert set(held(job)) <= {0, 1, 2, 3}
    finally:
        with open(job.outputs.plan, "wb") as file:
            file.write(plan)


def test_a_plan_of_another_version_is_none(job):
    plan = pq.read_table(job.outputs.plan)
    pq.write_table(plan.drop_columns("fault"), job.outputs.plan)
    assert held(job) == []


def test_a_run_on_something_else_that_was_stopped_leaves_no_stale_part(job, tmp_path):
    other = write_sidecars(tmp_path / "other", {name: record("other.png") for name in numbered(20)})
    before = files_of(job.outputs.table)
    with pytest.raises(CutlineError, match="full"):
        compile_table(other, job.outputs.table, OPTIONS, watcher=Full())
    shutil.rmtree(other)
    compile_table(job.source.root, job.outputs.table, OPTIONS)
    assert files_of(job.outputs.table) == before


class Full:
    """A watcher that cannot write down that rows are made."""

    def stage(self, name, load):
        if name == "compile-rows":
            raise OSError("the log's disk is full")
        return SILENT.stage(name, load)

    def say(self, line): ...
