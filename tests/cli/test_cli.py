"""The commands, in this process and on the cluster that the tests share."""

import json
import os
import re
import socket
from pathlib import Path

import dask
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cutline import compile_table
from cutline.cli.commands import cutline
from cutline.cluster import address as address_module
from sidecars import IMAGE, numbered, record, write_sidecars
from trees import texts, tree

SUMMARIES = {
    "compile": (
        *("job", "table", "sidecars", "rows", "rejects"),
        *("parts", "reused_parts", "stem_mismatches", "seconds"),
    ),
    "captions": ("job", "data", "written", "replaced", "unchanged", "edited", "rejects", "seconds"),
    "run": ("job", "compile", "captions", "verify", "loader", "report", "seconds"),
}


@pytest.fixture
def typed(address):
    """Type a command of a job that runs on the shared cluster."""

    def type_command(*arguments):
        return CliRunner().invoke(cutline, [*arguments, "--scheduler", address])

    return type_command


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a table `t.parquet` of an earlier run, and what mistakes are about."""
    monkeypatch.chdir(tmp_path)
    write_sidecars("good", numbered(5))
    for folder in ("empty", "no_sidecars/sub", "images"):
        os.makedirs(folder)
    for path, text in {
        "no_sidecars/sub/a.txt": "text",
        "a_file": "text",
        "broken.yaml": "kind: [",
        "typo.yaml": "kind: local\nworkrs: 1",
        "wrong.yaml": "kind: local\nworkers: two",
        "unknown.yaml": "kind: kubernetes",
        "address.yaml": "kind: address\naddress: tcp://127.0.0.1:1",
        "not.parquet": "text",
    }.items():
        with open(path, "w") as file:
            file.write(text)
    with dask.config.set(scheduler="sync"):
        compile_table("good", "t.parquet")
    return tmp_path


def tables(place):
    """The table and its ledger, and when they were written."""
    names = ("t.parquet", "t.rejects.parquet")
    held = {name: data for name, data in tree(place).items() if name in names}
    assert held.keys() == set(names)
    return held, [os.stat(place / name).st_mtime_ns for name in names]


def complaint(result, status):
    """The one sentence with which a command refused."""
    assert result.exit_code == status
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert re.fullmatch(r"cutline: .*\.", lines[0])
    assert "Traceback" not in lines[0]
    return lines[0]


# What cannot be: refused before a cluster is started

COMPILE = ("compile", "good", "t.parquet")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compile", "missing", "t.parquet"], "The source missing is not there: name the folder"),
        (["compile", "a_file", "t.parquet"], "The source a_file is a file: name the folder"),
        (["compile", "gopher://x/y", "t.parquet"], "cannot be opened"),
        (["compile", "memory://nothing", "t.parquet"], "is not there: name the folder"),
        (["compile", "good", "missing/t.parquet"], "missing of the table is not there: make it"),
        (["compile", "good", "t"], "add .parquet"),
        (["compile", "good", "t.csv"], "add .parquet"),
        (["compile", "good", ".parquet"], "add .parquet"),
        (["compile", "good", "s3://bucket/t.parquet"], "is a URL: name a file"),
        ([*COMPILE, "--column", "width=x"], "cannot have two columns 'width': rename --column"),
        (["captions", "missing", "images"], "The source missing is not there"),
        (["captions", "missing.parquet", "images"], "There is no missing.parquet: name a table"),
        (["captions", "not.parquet", "images"], "is no parquet file: compile it again"),
        (["captions", "a_file", "images"], "is a file: name the folder"),
        (["captions", "t.parquet", "images", "--caption-field", "x"], "are in the table t.parquet"),
        (["compile", "nosuch://x/a.tar", "t.parquet"], "cannot be opened (Protocol not known"),
        (["captions", "t.parquet", "missing"], "There is no folder missing: name the folder"),
        (["captions", "t.parquet", "a_file"], "There is no folder a_file: name the folder"),
        (["run", "missing"], "/missing: correct the name."),
        (
            ["run", "t.parquet"],
            "/t.parquet is no folder, and a dataset is one: run `cutline run .`.",
        ),
        (["run", "empty"], "empty: put tar shards into it, or images and sidecars into"),
        ([*COMPILE, "--cluster", "missing.yaml"], "cannot be read (No such file or directory)"),
        ([*COMPILE, "--cluster", "broken.yaml"], "is not YAML: correct it, "),
        ([*COMPILE, "--cluster", "typo.yaml"], "no key 'workrs'; the nearest is 'workers'"),
        (
            [*COMPILE, "--cluster", "wrong.yaml"],
            "Expected `int | null`, got `str` - at `$.workers`",
        ),
        (
            [*COMPILE, "--cluster", "unknown.yaml"],
            "must be local or address or slurm or ssh or spec",
        ),
        ([*COMPILE, "--cluster", "typo.yaml", "--scheduler", "tcp://h:1"], "give one of them"),
        ([*COMPILE, "--scheduler-file", "f", "--scheduler", "tcp://h:1"], "give one of them"),
        ([*COMPILE, "--scheduler", "tcp://h:1", "--workers", "2"], "leave --workers out"),
        ([*COMPILE, "--cluster", "address.yaml", "--workers", "2"], "leave --workers out"),
        ([*COMPILE, "--scheduler", "nonsense"], "write it as tcp://HOST:PORT"),
        ([*COMPILE, "--scheduler", "pigeon://x:1"], "write it as tcp://HOST:PORT"),
        (["demo", "good"], "good is not empty: name another folder"),
        (["demo", "a_file"], "a_file is a file: name a folder"),
        (["demo", "new", "--records", "7"], "100 to 2,000,000 records, not 7: ask for a number"),
        (["demo", "new", "--loose", "--hostile"], "leave --loose out"),
        (["head", "missing.parquet"], "missing.parquet"),
    ],
)
def test_a_mistake_gives_one_sentence_with_the_mend(place, arguments, said):
    before = tree(place)
    assert said in complaint(CliRunner().invoke(cutline, arguments), 2)
    assert tree(place) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile"],
        ["compile", "good"],
        ["compress", "good", "t.parquet"],
        [*COMPILE, "--column", "=x"],
        [*COMPILE, "--column", "name="],
        [*COMPILE, "--workers", "0"],
        [*COMPILE, "--workers", "many"],
        [*COMPILE, "--partition-size", "0"],
        [*COMPILE, "--max-rejects", "2"],
        [*COMPILE, "--compression", "zip"],
        [*COMPILE, "--color"],
    ],
)
def test_what_click_does_not_understand_is_refused_with_its_usage(place, arguments):
    before = tree(place)
    result = CliRunner().invoke(cutline, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: cutline ")
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert tree(place) == before


# What turns out not to be: the table is as it was


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["compile", "empty", "t.parquet"],
            "There is no .json file in {place}/empty: name another",
        ),
        (["compile", "no_sidecars", "t.parquet"], "There is no .json file in {place}/no_sidecars"),
        ([*COMPILE, "--caption-field", "titel"], "no text in titel; the record has image_name,"),
        ([*COMPILE, "--column", "c=titel"], "No record has a field 'titel' for the column 'c'"),
        (["captions", "empty", "images"], "There is no .json file in {place}/empty: name another"),
    ],
)
def test_a_job_that_cannot_be_done_gives_one_sentence_and_leaves_the_table(
    typed, place, arguments, said
):
    before = tables(place)
    assert said.format(place=place) in complaint(typed(*arguments, "--quiet"), 1)
    assert tables(place) == before
    assert tree(place / "images") == {}


def test_a_scheduler_that_is_not_there_gives_one_sentence(place, monkeypatch):
    monkeypatch.setattr(address_module, "PATIENCE", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        before = tree(place)
        result = CliRunner().invoke(cutline, [*COMPILE, "--scheduler", address])
    assert "start one, or correct the address" in complaint(result, 1)
    assert tree(place) == before


def test_a_folder_where_nothing_may_be_written_gives_one_sentence(typed, place):
    sentence = complaint(typed("compile", "good", "/proc/t.parquet", "--quiet"), 1)
    assert "/proc/t." in sentence


def test_captions_that_cannot_be_written_end_with_one_sentence_after_the_summary(typed, place):
    os.mkdir("images/002.txt")
    result = typed("captions", "t.parquet", "images", "--json", "--quiet")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["rejects"] == {"unwritable": 1}
    assert result.stderr.startswith("cutline: 1 caption file could not be written below ")
    assert sum(held is not None for held in texts("images").values()) == 4


def test_a_table_without_a_row_is_said_with_what_became_of_the_sidecars(typed, place):
    write_sidecars("bare", {name: record(width=...) for name in numbered(3)})
    result = typed("compile", "bare", "bare.parquet", "--quiet")
    assert result.exit_code == 1
    assert "cutline: No sidecar gave a row (no_width 3). The records have " in result.stderr
    assert "add --measure." in result.stderr
    assert pq.read_metadata("bare.parquet").num_rows == 0


def test_a_table_may_be_named_by_its_url(typed, place):
    table = f"file://{place}/t.parquet"
    written = typed("captions", table, "images", "--json", "--quiet")
    assert json.loads(written.stdout)["written"] == 5
    assert CliRunner().invoke(cutline, ["head", table]).exit_code == 0
    assert "rows without image 5" in typed("verify", table, "images", "--quiet").stderr


# What is printed


def test_a_run_with_which_all_is_well_ends_with_what_to_tell_the_trainer(typed, place):
    write_sidecars("set/data", numbered(3))
    for number in range(3):
        Path(f"set/data/{number:03}.png").write_bytes(IMAGE)
    ready = f"Ready to train: name {place}/set/multidatabackend.json as data_backend_config."
    result = typed("run", "set")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, ready)
    assert typed("run", "set", "--quiet").stderr == ""
    Path("set/data/001.png").unlink()
    failed = typed("run", "set")
    assert (failed.exit_code, "Ready to train" in failed.stderr) == (1, False)


@pytest.mark.parametrize(
    "arguments",
    [COMPILE, ("captions", "t.parquet", "images"), ("captions", "good", "images"), ("run", "set")],
)
def test_the_summary_is_one_json_object_alone_with_the_keys_of_the_contract(
    typed, place, arguments
):
    write_sidecars("set/data", numbered(3))
    for number in range(3):
        Path(f"set/data/{number:03}.png").write_bytes(IMAGE)
    result = typed(*arguments, "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    summary = json.loads(result.stdout)
    assert summary["job"] == arguments[0]
    assert tuple(summary) == (*SUMMARIES[arguments[0]], "cluster")
    where = {"kind": "address", "workers": 2, "hosts": 1, "lost": 0, "late": 0}
    assert summary["cluster"] == where
    if summary["job"] == "run":
        assert tuple(summary["compile"]) == SUMMARIES["compile"]
        assert tuple(summary["captions"]) == SUMMARIES["captions"]


def test_without_json_nothing_is_printed_on_standard_output(typed, place):
    result = typed(*COMPILE)
    assert (result.exit_code, result.stdout) == (0, "")


def test_progress_goes_to_standard_error_in_whole_lines(typed, place):
    result = typed("compile", "good", "new.parquet", "--json")
    lines = result.stderr.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d The dashboard is at http://", lines[0])
    assert re.match(r"\d\d:\d\d:\d\d compile-rows: 5 of 5 sidecars in ", lines[1])
    assert re.search("[\x00-\x09\x0b-\x1f]", result.stderr) is None
    assert json.loads(result.stdout)["rows"] == 5


def test_extra_columns_and_options_reach_the_table(typed, place):
    write_sidecars("more", {"a.json": record("a.png", tags=["x", 1])})
    arguments = (
        "--column",
        "tags",
        "--column",
        "url=image_name",
        "--caption-field",
        "long_caption",
    )
    assert typed("compile", "more", "m.parquet", *arguments).exit_code == 0
    result = CliRunner().invoke(cutline, ["head", "m.parquet", "--format", "json"])
    (row,) = json.loads(result.stdout)
    assert (row["caption"], row["tags"], row["url"]) == ("A longer story.", '["x",1]', "a.png")


def test_a_url_is_a_source(typed, place):
    result = typed("compile", f"file://{place}/good", "url.parquet", "--json", "--quiet")
    assert json.loads(result.stdout)["rows"] == 5
    assert (place / "url.parquet").read_bytes() == (place / "t.parquet").read_bytes()


# What can be asked


def test_the_version_is_that_of_the_package():
    result = CliRunner().invoke(cutline, ["--version"])
    assert re.fullmatch(r"cutline, version \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("command", ["", *sorted(cutline.commands)])
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(cutline, [*command.split(), "-h"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cutline {command}")


def test_every_job_takes_the_same_options_of_a_cluster():
    shared = {"cluster_file", "scheduler", "workers", "dashboard_address", "as_json", "quiet"}
    for name in SUMMARIES:
        assert shared <= {parameter.name for parameter in cutline.commands[name].params}
