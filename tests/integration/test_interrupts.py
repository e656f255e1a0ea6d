"""A job that is stopped at its work: one line, its status, and the next run goes on."""

import json
import os
import signal
import subprocess

import dask
import pyarrow.parquet as pq
import pytest

from cutline import compile_table
from cutline.store.table_files import TableFiles
from processes import members, run, until

pytestmark = pytest.mark.commands

OPTIONS = ("--workers", "2", "--dashboard-address", "none")


@pytest.fixture(scope="module")
def whole(large, tmp_path_factory):
    """The table and the ledger of a run that nobody stops."""
    outputs = TableFiles.of(tmp_path_factory.mktemp("whole") / "t.parquet")
    with dask.config.set(scheduler="sync"):
        compile_table(str(large[0]), outputs.table)
    return read(outputs.table), read(outputs.ledger)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def stopped(process, send, number):
    """Send a signal to a job, and give what it said on standard error."""
    send(process.pid, number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stdout == ""
    until(lambda: not members(process.pid), "the end of all its processes")
    return stderr


@pytest.mark.parametrize(
    "way",
    [
        (["cutline"], os.kill, signal.SIGINT),  # to the process alone
        (["dask", "cutline"], os.killpg, signal.SIGTERM),  # as a batch system does
    ],
    ids=["alone", "group"],
)
def test_a_compile_that_is_stopped_goes_on_in_the_next_run(processes, large, whole, tmp_path, way):
    program, send, number = way
    data, expected = large
    outputs = TableFiles.of(tmp_path / "t.parquet")
    typed = ("compile", data, outputs.table, *OPTIONS, "--partition-size", "200", "--json")
    process = processes.start(
        *program, *typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: os.path.isdir(outputs.parts) and os.listdir(outputs.parts), "a part")
    assert stopped(process, send, number) == (
        f"cutline: Stopped; what is done is kept, go on with `{' '.join(program)} compile"
        f" {data} {outputs.table} --workers 2 --dashboard-address none --partition-size 200"
        " --json`.\n"
    )
    assert not os.path.exists(outputs.workspace.lock)
    assert not os.path.exists(outputs.table)

    result = run("cutline", *typed, "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["rejects"]) == (expected.rows, expected.rejects)
    assert 0 < summary["reused_parts"] < summary["parts"] == 100
    assert (read(outputs.table), read(outputs.ledger)) == whole


def test_captions_that_are_stopped_are_whole_and_go_on_in_the_next_run(processes, large, tmp_path):
    table, images = tmp_path / "t.parquet", tmp_path / "images"
    images.mkdir()
    with dask.config.set(scheduler="sync"):
        rows = compile_table(str(large[0]), str(table)).rows
    first = pq.read_table(table, columns=["filename"])["filename"][0].as_py()
    (images / first).touch()  # or it would be told that there is none
    typed = ("captions", table, images, *OPTIONS, "--json")
    process = processes.start(
        "cutline", *typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: any(name.endswith(".txt") for name in os.listdir(images)), "a caption file")
    stderr = stopped(process, os.killpg, signal.SIGINT)
    assert len(stderr.splitlines()) == 1
    assert not os.path.exists(images / ".cutline/lock")
    there = len([name for name in os.listdir(images) if name.endswith(".txt")])
    assert there

    result = run("cutline", *typed, "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    # Those that are there are whole: none of them had to be replaced.
    assert (summary["written"], summary["replaced"]) == (rows - there, 0)
    assert summary["unchanged"] == there
