"""What `--dry-run` says, beside what the job then does."""

import json
import os
import stat
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cutline import CompileOptions, DemoOptions, extract, make_demo, run, write_captions
from cutline.cli import cutline
from cutline.recipe import RunOptions, costs
from cutline.store import space
from cutline.table import compile_table
from sidecars import numbered, write_sidecars

RECORDS = 3_000


def near(estimate, truth):
    return truth * 0.8 <= estimate <= truth * 1.2


def tree(folder):
    """All that is below a folder, with inodes, sizes and times but for those of reading."""
    paths = [
        os.path.join(place, name)
        for place, folders, files in os.walk(folder)
        for name in [*folders, *files]
    ]
    return {path: Seen.of(path) for path in [os.fspath(folder), *paths]}


class Seen(NamedTuple):
    mode: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path):
        one = os.lstat(path)
        return cls(one.st_mode, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)

    @property
    def is_file(self):
        return stat.S_ISREG(self.mode)


def written(before, after):
    """How many files and folders are new, and the bytes of the files."""
    new = [one for path, one in after.items() if path not in before]
    sizes = [one.size for one in new if one.is_file]
    return len(new), len(sizes), sum(sizes)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A demo of shards, in which nothing is to change: its folder, and what a run must count."""
    folder = tmp_path_factory.mktemp("costs") / "demo"
    expected = make_demo(folder, DemoOptions(RECORDS, form="shards"))
    return folder, expected


def told(*arguments):
    result = CliRunner().invoke(cutline, [*map(str, arguments), "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_compile_is_near_what_was_told_and_nothing_is_written_before(shards, tmp_path):
    root, expected = shards
    source, out = root / "data", tmp_path / "out"
    out.mkdir()
    before = tree(root), tree(out)
    cost = told("compile", source, out / "x.parquet")
    assert (tree(root), tree(out)) == before
    assert cost["sidecars"] == expected.sidecars  # of the few shards each was walked
    assert "sidecars" not in cost["estimated"]
    assert set(cost["estimated"]) == {"rows", "files", "bytes", "inodes", "minutes"}
    compile_table(source, out / "x.parquet")
    new, files, size = written(before[1], tree(out))
    assert near(cost["rows"], expected.rows)
    assert near(cost["files"], files)
    assert near(cost["inodes"], new)
    assert near(cost["bytes"], size)


def test_a_compile_of_loose_sidecars_counts_them(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(300))
    cost = costs.of_compile(source, tmp_path / "x.parquet")
    assert (cost.counts["sidecars"], cost.counts["rows"]) == (300, 300)
    assert cost.minutes >= 0


def test_an_extraction_is_near_what_was_told(shards, tmp_path):
    root, _ = shards
    before = tree(root)
    cost = told("extract", root / "data", tmp_path / "data")
    assert tree(root) == before
    assert not (tmp_path / "data").exists()
    summary = extract(root / "data", tmp_path / "data")
    assert near(cost["files"], summary.files)
    used = sum(
        space.room_for(one.size, space.block_of(tmp_path)).bytes
        for path, one in tree(tmp_path / "data").items()
        if one.is_file and ".cutline" not in path
    )
    assert near(cost["bytes"], used)
    again = costs.of_extract(root / "data", tmp_path / "data")
    assert (again.counts["files"], again.counts["bytes"]) == (0, 0)
    assert again.in_words() == f"has nothing to write to {tmp_path / 'data'}"


@pytest.mark.parametrize("part", [["--limit", "40"], ["--sample", "40"], ["--only", "sidecars"]])
def test_an_extraction_of_a_part_is_near_what_was_told(shards, tmp_path, part):
    root, _ = shards
    cost = told("extract", root / "data", tmp_path / "data", *part)
    arguments = ["extract", str(root / "data"), str(tmp_path / "data"), *part, "--max-rejects", "1"]
    result = CliRunner().invoke(cutline, [*arguments, "--json", "--quiet"])
    assert near(cost["files"], json.loads(result.stdout)["files"])


def test_captions_of_a_table_are_counted(shards, tmp_path):
    root, expected = shards
    table, data = tmp_path / "x.parquet", tmp_path / "images"
    compile_table(root / "data", table)
    data.mkdir()
    before = tree(tmp_path)
    cost = told("captions", table, data)
    assert tree(tmp_path) == before
    assert (cost["rows"], cost["files"]) == (expected.rows, expected.rows)
    assert cost["estimated"] == ["bytes", "minutes"]
    write_captions(table, data)
    texts = [one for path, one in tree(data).items() if path.endswith(".txt")]
    used = sum(space.room_for(one.size, space.block_of(data)).bytes for one in texts)
    assert near(cost["bytes"], used)
    assert told("captions", table, data)["files"] == 0


def test_captions_of_sidecars_are_estimated(shards, tmp_path):
    cost = costs.of_captions(shards[0] / "data", tmp_path)
    assert near(cost.counts["files"], shards[1].rows)
    assert "rows" in cost.estimated
    assert os.listdir(tmp_path) == []


def test_each_step_of_a_run_is_told_and_the_sum(shards):
    root, expected = shards
    before = tree(root)
    cost = told("run", root)
    assert tree(root) == before
    steps = [name for name, value in cost.items() if isinstance(value, dict)]
    assert steps == ["extract", "compile", "captions"]
    assert near(cost["captions"]["files"], expected.rows)
    assert near(cost["extract"]["files"], expected.sidecars + expected.images)
    for name in ("files", "bytes", "inodes"):
        assert cost[name] == sum(cost[step][name] for step in steps)


def test_the_table_of_a_run_is_near_what_was_told(shards, tmp_path):
    (tmp_path / "data").mkdir()
    for shard in (shards[0] / "data").glob("*.tar"):
        os.link(shard, tmp_path / "data" / shard.name)
    cost = told("run", tmp_path)["compile"]
    before = tree(tmp_path)
    run(tmp_path, CompileOptions(max_rejects=1))
    after = {
        path: seen
        for path, seen in tree(tmp_path).items()
        if not path.startswith(f"{tmp_path}/data")
        and not path.endswith((".html", "multidatabackend.json"))
    }
    inodes, files, size = written(before, after)
    assert (cost["files"], cost["inodes"]) == (files, inodes)
    assert near(cost["bytes"], size)


def test_a_run_without_extraction_costs_the_table_and_the_index(shards, tmp_path):
    root, expected = shards
    chosen = RunOptions(in_place=True)
    cost = costs.of_run(root, chosen=chosen).as_json()
    assert [name for name, value in cost.items() if isinstance(value, dict)] == ["compile", "index"]
    os.symlink(root / "data", tmp_path / "data")
    run(tmp_path, chosen=chosen)
    (index,) = tmp_path.glob("*.webshart")
    size = sum(path.stat().st_size for path in index.iterdir())
    assert near(cost["index"]["rows"], expected.rows)
    assert near(cost["index"]["bytes"], size)
    assert cost["index"]["files"] == len(list(index.iterdir()))
    assert pq.read_metadata(next(tmp_path.glob("*.parquet"))).num_rows


def test_a_lack_of_room_is_told_with_status_1(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free_room", lambda _: space.Room(1000, 1000))
    arguments = ["run", str(shards[0]), "--dry-run"]
    result = CliRunner().invoke(cutline, arguments)
    assert result.exit_code == 1
    assert "inodes would be written, but" in result.stderr
    assert result.stderr.rstrip().endswith("make room first.")


def test_a_source_that_is_not_there_is_refused_as_by_the_job(tmp_path):
    arguments = ["compile", str(tmp_path / "none"), str(tmp_path / "x.parquet"), "--dry-run"]
    result = CliRunner().invoke(cutline, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not there" in result.stderr


def test_what_was_moved_away_with_orphans_is_not_told_to_be_unpacked(tmp_path):
    root = tmp_path / "demo"
    make_demo(root, DemoOptions(200, form="shards"))
    run(root, CompileOptions(max_rejects=1), RunOptions(orphans="move"))
    before = tree(root)
    cost = told("run", root)
    assert (tree(root), cost["extract"]["files"], cost["captions"]["files"]) == (before, 0, 0)
    os.remove(next((root / "data").glob("*.txt")).with_suffix(".json"))
    assert told("run", root)["extract"]["files"] == 1
    first, *_ = sorted((root / "data").glob("*.tar"))
    os.rename(first, first.with_name("another.tar"))  # nothing of it was ever moved
    moved = told("run", root)["extract"]["files"] - 1
    assert 0 < moved <= sum(path.is_file() for path in (root / "orphans").rglob("*"))


@pytest.mark.parametrize(
    ("command", "output"),
    [
        (["compile", "demo/data", "x.parquet"], "the table"),
        (["compile", "demo/data", "x.parquet", "--allow-damaged"], ""),
        (["extract", "demo/data", "new"], "the folder"),
        (["extract", "demo/data", "new", "--allow-damaged"], ""),
        (["run", "demo"], "the folder"),
        (["run", "demo", "--allow-damaged"], ""),
        (["run", "demo", "--no-extract"], "the table"),
    ],
)
def test_damaged_shards_are_told_as_by_the_job(hostile, monkeypatch, command, output):
    monkeypatch.chdir(hostile)
    result = CliRunner().invoke(cutline, [*command, "--dry-run", "--max-rejects=1"])
    assert result.exit_code == bool(output), result.stderr
    assert ("shards are damaged" in result.stderr) == bool(output)
    assert (f", and {output} would have only what could be read" in result.stderr) == bool(output)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    make_demo(folder / "demo", DemoOptions(200, form="hostile"))
    return folder
