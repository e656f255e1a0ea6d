"""`cutline verify`, `loader`, `export` and `report`, as they are typed."""

import json
import shlex

import pytest
from click.testing import CliRunner

from cutline.cli.commands import cutline
from intact import NAMES, intact


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A dataset with one orphan, in the working folder."""
    monkeypatch.chdir(tmp_path)
    dataset = intact(tmp_path)
    dataset.add("no.png", width=None)
    dataset.prepare()
    return dataset


@pytest.fixture
def verify(address):
    def type_command(*options):
        words = ["verify", "set.parquet", "data", *options, "--scheduler", address]
        return CliRunner().invoke(cutline, words)

    return type_command


def typed(*arguments):
    return CliRunner().invoke(cutline, arguments)


def test_what_fails_is_exit_1_and_one_sentence_with_the_mend(made, verify):
    result = verify("--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("cutline: The trainer would stop, or train on less than there is:")
    command = ["cutline", "verify", made.table, str(made.data), "--orphans"]
    assert line.endswith(f"`{shlex.join([*command, f'move={made.root}/orphans'])}`.")


def test_the_json_is_that_of_the_contract(made, verify):
    result = verify("--json", "--quiet", "--expect", "1161957", "--check-sizes")
    summary = json.loads(result.stdout)
    assert list(summary)[:3] == ["job", "ok", "checks"]
    assert (summary["job"], summary["ok"]) == ("verify", False)
    assert summary["seconds"] > 0
    assert all(set(check) == {"ok", "count", "examples"} for check in summary["checks"].values())
    assert summary["checks"]["sidecar_count"] == {
        "ok": True, "count": 1_161_949, "examples": ["8 sidecars, not 1,161,957"],
    }  # fmt: skip
    assert summary["checks"]["images_without_row"]["ok"] is False
    assert summary["checks"]["wrong_sizes"]["count"] == 0


def test_a_table_of_the_checks_is_on_standard_error(made, verify):
    (made.data / "[bold]x\x1b[31m.txt").touch()
    result = verify()
    assert result.stdout == ""
    lines = {line.strip().split("  ")[0]: line for line in result.stderr.splitlines()}
    assert "FAILS" in lines["images without row"]
    assert "ok" in lines["nulls"]
    assert "warning" in lines["caption files without image"]
    assert "[bold]x\\x1b[31m.txt" in result.stderr


def test_orphans_are_moved_and_put_back(made, verify):
    before = made.tree()
    assert verify("--orphans", "move=orphans").exit_code == 0
    assert made.tree() != before
    assert verify().exit_code == 0
    assert verify("--orphans", "restore=orphans").exit_code == 1
    assert made.tree() == before


def test_orphans_get_captions(made, verify):
    result = verify("--orphans", "caption", "--caption-field", "none", "--caption-field", "url")
    assert (result.exit_code, "Wrote 0 caption files." in result.stderr) == (1, True)
    assert verify("--orphans", "caption").exit_code == 0
    assert (made.data / "no.txt").read_text() == "The picture no"


@pytest.mark.parametrize(
    "words", [["verify", "data"], ["report"], ["export", "data", "--format", "jsonl"]]
)
def test_a_folder_of_parts_is_no_table(made, words):
    result = typed(words[0], "set.parts", *words[1:])
    assert result.exit_code == 2
    assert result.stderr.endswith("set.parts is a folder: name the merged table.\n")


@pytest.mark.parametrize("value", ["move", "move=", "restore", "caption=x", "delete=x", ""])
def test_a_wrong_mend_is_exit_2(made, verify, value):
    result = verify("--orphans", value)
    assert result.exit_code == 2
    assert "is not move=DIR|restore=DIR|caption" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verify", "missing.parquet", "data"], "There is no missing.parquet"),
        (["verify", "data/a.png", "data"], "data/a.png is no parquet file"),
        (["verify", "set.parquet", "missing"], "There is no folder missing"),
        (["loader", "missing.parquet"], "There is no missing.parquet"),
        (["loader", "set.parquet", "missing"], "There is no folder missing"),
        (["loader", "set.parquet", "--id", "a/b"], "The id 'a/b' cannot name a file"),
        (["loader", "set.parquet", "--maximum-image-size", "40"], "maximum_image_size is from"),
        (["loader", "set.parquet", "--out", "data/x.json"], "would pass for a sidecar"),
        (["export", "missing.parquet", "--format", "jsonl"], "There is no missing.parquet"),
        (["export", "set.parquet", "--format", "jsonl", "--out", "x.txt"], "is read from *.jsonl"),
        (["report", "missing.parquet"], "There is no missing.parquet"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(made, words, message):
    result = typed(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_loader_writes_beside_the_table(made):
    result = typed("loader", "set.parquet", "--id", "mine", "--strategy", "parquet")
    path = made.root / "multidatabackend.json"
    first, small = result.stderr.splitlines()
    assert (result.exit_code, first) == (0, f"The entry mine is in {path}")
    assert small == (
        "7 of 7 rows are of images below 0.75 megapixels, and the trainer leaves them out: lower"
        f" minimum_image_size of the entry 'mine' in {path}."
    )
    entry, _ = json.loads(path.read_text())
    assert (entry["id"], entry["caption_strategy"]) == ("mine", "parquet")
    assert entry["instance_data_dir"] == str(made.data)
    assert entry["parquet"]["path"] == made.table


def test_a_second_entry_of_the_same_images_is_told(made):
    typed("loader", made.table, "--id", "one")
    result = typed("loader", made.table, "--id", "two")
    assert "has an entry 'one' of the same images: take one of them out." in result.stderr


@pytest.mark.parametrize(
    ("form", "name"),
    [("jsonl", "set.jsonl"), ("kohya", "set.json"), ("imagefolder", "data/metadata.parquet")],
)
def test_an_export_has_the_name_that_its_readers_look_for(made, form, name):
    result = typed("export", "set.parquet", "--format", form)
    assert result.exit_code == 0
    assert result.stderr == f"Wrote {len(NAMES)} rows to {made.root / name}\n"
    assert (made.root / name).stat().st_size > 0


def test_a_report_is_written_beside_the_table(made, address):
    result = typed("report", "set.parquet", "data", "--json", "--quiet", "--scheduler", address)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["page"] == str(made.root / "set.report.html")
    assert "images without row" in (made.root / "set.report.html").read_text()
