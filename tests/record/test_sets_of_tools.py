"""Sets that img2dataset and gallery-dl wrote (`sets/make_sets.py`), against the oracle."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import dask
import pytest

import oracle
from cutline import CompileOptions, compile_table, write_captions
from cutline.record import Rules
from outputs import ledger_of, rows_of

SETS = Path(__file__).parent / "sets"

TOOLS = {
    "img2dataset": ("img2dataset/files", Rules(dialect="img2dataset"), ["caption"]),
    "gallery-dl": (
        "gallery-dl",
        Rules(dialect="gallery-dl", measure=True),
        ["description", "title", "tags"],
    ),
    "gallery-dl unmeasured": (
        "gallery-dl",
        Rules(dialect="gallery-dl"),
        ["description", "title", "tags"],
    ),
}

REJECTED = {
    "img2dataset": ["no_caption"],
    "gallery-dl": ["no_caption", "no_image"],
    "gallery-dl unmeasured": ["no_image", *["no_width"] * 4],
}
"""A caption that was null; one image that has no text, and a film; sizes that are not written."""


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize("name", TOOLS)
def test_the_rows_the_ledger_and_the_caption_files_of_a_tool_s_set_are_the_oracle_s(tmp_path, name):
    place, rules, fields = TOOLS[name]
    data, table = str(tmp_path / "data"), str(tmp_path / "t.parquet")
    shutil.copytree(SETS / place, data)
    compile_table(data, table, CompileOptions(max_rejects=1, rules=rules))
    rows, ledger = oracle.compile_set(data, fields, rules.measure)
    assert (rows_of(table), ledger_of(table)) == (rows, ledger)
    assert sorted(reason for _, reason, _ in ledger) == REJECTED[name]
    if rows:
        write_captions(table, data, overwrite=True)
    for _, _, caption, filename in rows:
        assert Path(data, os.path.splitext(filename)[0] + ".txt").read_text("utf-8") == caption


def test_a_shard_of_img2dataset_gives_what_its_files_give(tmp_path):
    shards, table = SETS / "img2dataset/shards", str(tmp_path / "t.parquet")
    options = CompileOptions(max_rejects=1, rules=Rules(dialect="img2dataset"))
    compile_table(str(shards), table, options)
    with tarfile.open(shards / "00000.tar") as shard:
        shard.extractall(tmp_path / "unpacked", filter="data")
    rows, ledger = oracle.compile_set(str(tmp_path / "unpacked"), ["caption"])
    assert rows_of(table) == rows
    assert ledger_of(table) == [(f"00000.tar/{path}", *rest) for path, *rest in ledger]
    assert len(rows) == 5


def test_img2dataset_writes_no_sidecar_of_what_it_could_not_fetch_or_read():
    keys = {path.stem for path in (SETS / "img2dataset/files").rglob("*.json")}
    assert not keys & {"000002", "000004"}
    records = [json.loads(path.read_bytes()) for path in (SETS / "img2dataset").rglob("*.json")]
    assert {(record["status"], record["error_message"]) for record in records} == {
        ("success", None)
    }
