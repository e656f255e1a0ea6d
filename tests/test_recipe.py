import os

import pyarrow.parquet as pq
import pytest

from cutline import CompileOptions, CutlineError, Rules, UsageError, compile_table, run
from cutline.recipe import layout
from sidecars import numbered, record, write_sidecars
from trees import texts, tree


@pytest.fixture
def root(tmp_path):
    """A dataset of ten good samples and one without a width."""
    folder = tmp_path / "flowers"
    folder.mkdir()
    write_sidecars(folder / "data", numbered(10) | {"no.json": record("no.png", width=...)})
    return folder


def test_a_run_is_a_compile_and_then_the_captions(root):
    summary = run(str(root))
    assert (summary.compile.sidecars, summary.compile.rows) == (11, 10)
    assert summary.compile.rejects == {"no_width": 1}
    assert (summary.captions.written, summary.captions.rejects) == (10, {})
    assert summary.shortfall == ""


def test_a_run_gives_the_table_of_a_compile(root, tmp_path):
    run(str(root))
    compile_table(str(root / "data"), str(tmp_path / "t.parquet"))
    made = {name: held for name, held in tree(root).items() if name.endswith(".parquet")}
    alone = {name: held for name, held in tree(tmp_path).items() if name.startswith("t.")}
    assert made["flowers.parquet"] == alone["t.parquet"]
    assert made["flowers.rejects.parquet"] == alone["t.rejects.parquet"]


def test_the_captions_are_those_of_the_table(root):
    run(str(root), CompileOptions(Rules(caption_fields=("long_caption",))))
    rows = pq.read_table(root / "flowers.parquet").to_pylist()
    expected = {row["filename"][:-4] + ".txt": row["caption"].encode() for row in rows}
    assert texts(root / "data") == expected


def test_the_steps_are_shown_under_their_own_names(root):
    body = run(str(root)).as_json()
    assert list(body) == ["job", "compile", "captions", "seconds"]
    assert [body[step]["job"] for step in ("compile", "captions")] == ["compile", "captions"]


def test_a_second_run_changes_nothing(root):
    run(str(root))
    before = tree(root)
    times = {path: os.stat(root / path).st_mtime_ns for path in before if ".cutline" not in path}
    summary = run(str(root))
    assert (summary.compile.parts, summary.compile.reused_parts) == (1, 1)
    assert (summary.captions.written, summary.captions.unchanged) == (0, 10)
    assert texts(root / "data") == texts(root / "data")
    assert {path: os.stat(root / path).st_mtime_ns for path in times if before[path]} == {
        path: time for path, time in times.items() if before[path]
    }


def test_a_run_whose_table_fails_writes_no_captions(root):
    before = tree(root)
    with pytest.raises(CutlineError, match="were rejected"):
        run(str(root), CompileOptions(Rules(caption_fields=("nothing",))))
    assert texts(root / "data") == {}
    assert "flowers.parquet" not in tree(root)
    assert before.items() <= tree(root).items()


def test_captions_that_cannot_be_written_are_the_shortfall_of_the_run(root):
    (root / "data" / "003.txt").mkdir()
    summary = run(str(root))
    assert summary.shortfall == summary.captions.shortfall
    assert summary.shortfall.startswith("1 caption file")


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/.", "{}/data/.."])
def test_the_table_has_the_name_of_the_folder(root, spelling):
    found = layout(spelling.format(root))
    assert found == (f"{root}/flowers.parquet", f"{root}/data")


def test_the_table_of_the_folder_at_hand_has_its_name(root, monkeypatch):
    monkeypatch.chdir(root)
    assert layout(".") == (f"{root}/flowers.parquet", f"{root}/data")


@pytest.mark.parametrize("missing", ["none", "empty"])
def test_a_folder_without_data_is_refused(tmp_path, missing):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=rf"{missing}/data is not there: put images and sidecars"):
        run(str(tmp_path / missing))
    assert os.listdir(tmp_path) == ["empty"]
