"""The commands, as they are installed, each on a cluster of its own."""

import json
import os
import re
import socket
from contextlib import suppress

import pyarrow.parquet as pq
import pytest

from processes import run
from sidecars import numbered, write_sidecars
from trees import texts, tree

pytestmark = pytest.mark.commands

ONE = ("--workers", "1", "--dashboard-address", "127.0.0.1:0")


def summary(result):
    """The JSON object that is all of standard output."""
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def counted(body):
    return {name: body[name] for name in ("sidecars", "rows", "rejects", "stem_mismatches")}


@pytest.fixture(scope="module", params=[100, 1000])
def root(request, tmp_path_factory):
    """A demo of a size as its command makes it, and what it prints."""
    folder = tmp_path_factory.mktemp("demo") / f"of_{request.param}"
    made = run("cutline", "demo", folder, "--loose", "--json", "--records", request.param)
    assert (made.returncode, made.stderr.splitlines()[-1]) == (
        0,
        f"Now prepare it: cutline run {folder}",
    )
    return folder, json.loads(made.stdout)


def test_modules_in_the_folder_at_hand_are_not_taken_for_those_of_python(tmp_path):
    for name in ("types", "random", "dask"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('This is mine.')")
    write_sidecars(tmp_path / "data", numbered(3))
    result = run("cutline", "compile", "data", "t.parquet", *ONE, "--json", cwd=tmp_path)
    assert summary(result)["rows"] == 3


def test_where_names_are_not_utf8_nothing_is_done(tmp_path):
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    result = run("cutline", "head", "x", env=os.environ | plain)
    assert result.returncode == 1
    assert result.stderr == "cutline: The names of files are not UTF-8 here: set PYTHONUTF8=1.\n"


def test_a_demo_prints_what_it_writes_down(root):
    folder, printed = root
    assert json.loads((folder / "expected.json").read_text()) == printed
    assert printed["sidecars"] == printed["rows"] + sum(printed["rejects"].values())


def test_a_run_counts_what_the_demo_says_and_prints_nothing_else(root):
    folder, expected = root
    with socket.socket() as another:  # a dashboard that is there already is nobody's business
        with suppress(OSError):
            another.bind(("127.0.0.1", 8787))
            another.listen()
        result = run("cutline", "run", folder, "--workers", "1", "--json", "--quiet")
    # The demo leaves images without a row, which would stop the trainer.
    assert result.returncode == 1
    assert re.fullmatch(r"cutline: The trainer would stop.* --orphans .*\n", result.stderr)
    body = json.loads(result.stdout)
    assert counted(body["compile"]) == {name: expected[name] for name in counted(body["compile"])}
    assert (body["captions"]["written"], body["captions"]["rejects"]) == (expected["rows"], {})
    assert len(texts(folder / "data")) == expected["rows"]
    assert pq.read_metadata(folder / f"{folder.name}.parquet").num_rows == expected["rows"]

    before = tree(folder)
    again = json.loads(run("cutline", "run", folder, *ONE, "--json", "--quiet").stdout)
    assert counted(again["compile"]) == counted(body["compile"])
    assert again["compile"]["reused_parts"] == again["compile"]["parts"]
    assert (again["captions"]["written"], again["captions"]["replaced"]) == (0, 0)
    assert again["captions"]["unchanged"] == expected["rows"]
    changed = {path for path, _ in set(tree(folder).items()) ^ set(before.items())}
    assert {str(path).rpartition(".")[2] for path in changed} <= {"html"}  # it has the seconds


def test_a_table_and_its_sidecars_give_the_same_caption_files(demo_root, tmp_path):
    source, expected = demo_root[0] / "data", demo_root[1]
    table = tmp_path / "t.parquet"
    compiled = summary(
        run("cutline", "compile", source, table, "--json", "--dashboard-address", "none")
    )
    assert (compiled["rows"], compiled["rejects"]) == (expected.rows, expected.rejects)
    written = {}
    for name, origin in {"a": table, "b": source}.items():
        (tmp_path / name).mkdir()
        result = run("cutline", "captions", origin, tmp_path / name, *ONE, "--json")
        assert f"write-caption-files: {expected.rows} of {expected.rows} rows" in result.stderr
        written[name] = summary(result)["written"], tree(tmp_path / name)
    assert written["a"] == written["b"]
    assert written["a"][0] == expected.rows


def test_the_commands_are_commands_of_dask(tmp_path):
    result = run("dask", "cutline", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: dask cutline ")
    for name in ("compile", "captions", "run", "head", "demo"):
        assert f"\n  {name} " in result.stdout


def test_the_package_is_a_command():
    result = run("python", "-m", "cutline", "--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert "cutline, version " in result.stdout


@pytest.mark.parametrize("program", [["cutline"], ["dask", "cutline"], ["python", "-m", "cutline"]])
def test_a_mistake_ends_the_process_with_one_line_and_its_status(tmp_path, program):
    result = run(*program, "compile", "missing", "t.parquet", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "cutline: The source missing is not there: name the folder that holds the sidecars.\n"
    )


def test_a_job_that_cannot_be_done_ends_the_process_with_one_line_and_its_status(tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("cutline", "compile", "empty", "t.parquet", *ONE, "--quiet", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"cutline: There is no .json file in {tmp_path}/empty: name another folder.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
