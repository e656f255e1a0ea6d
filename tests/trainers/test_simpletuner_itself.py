"""What SimpleTuner's own code finds; `make test-trainer` fetches its wheel without the rest."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cutline import CompileOptions, DemoOptions, make_demo, run, write_captions
from cutline.recipe import RunOptions
from cutline.record import Rules
from cutline.table import compile_table
from cutline.trainers import export, simpletuner, write_loader
from shards_at_home import ShardSet, png
from sidecars import record, write_sidecars

FOLDER = os.environ.get("CUTLINE_SIMPLETUNER", "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="make test-trainer")

SCRIPT = Path(__file__).parent / "simpletuner_itself.py"


def read(root):
    """What is in its buckets, by filename."""
    command = [sys.executable, SCRIPT, FOLDER, root / "multidatabackend.json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_it_buckets_every_row_of_the_index_that_is_large_enough(tmp_path):
    make_demo(tmp_path / "demo", DemoOptions(200, form="shards"))
    dataset = ShardSet.__new__(ShardSet)
    dataset.root, dataset.data = tmp_path / "demo", tmp_path / "demo/data"
    dataset.table = dataset.root / "demo.parquet"
    assert run(dataset.root, chosen=RunOptions(in_place=True)).shortfall == ""
    found, members = read(dataset.root), dataset.members()
    digests = {name: hashlib.sha256(data).hexdigest() for (_, name), data in members.items()}
    smallest = simpletuner.DEFAULTS.minimum_image_size * 1e6
    rows = {
        name: row
        for name, row in dataset.rows().items()
        if row["width"] * row["height"] >= smallest
    }
    assert len(rows) > 100
    assert found == {
        name: {
            "bucket": simpletuner.aspect_bucket(row["width"], row["height"]),
            "captions": row["caption"],
            "sha256": digests[name],
        }
        for name, row in rows.items()
    }
    captions = pq.read_table(dataset.table)["caption"].to_pylist()
    dataset.replace_captions([[caption, "Another one."] for caption in captions])
    export(dataset.table, dataset.root / "demo.webshart", "webshart")
    subprocess.run(["rm", "-r", dataset.root / "cache"], check=True)  # as it is told to
    again = read(dataset.root)
    assert {name: one["captions"] for name, one in again.items()} == {
        name: [row["caption"], "Another one."] for name, row in rows.items()
    }


SEVERAL = {
    "x.png": ["A fox.", "A fox in the snow."],
    "y.png": ["A cat."],
    "deep/z.png": ["An owl.", "An owl, at night.", "A bird."],
}


def compiled(root, rules):
    """A folder with the captions of SEVERAL, and its table."""
    files = {}
    for name, texts in SEVERAL.items():
        stem = os.path.splitext(name)[0]
        files[f"{stem}.json"] = record(os.path.basename(name), short_caption=texts)
        files[name] = png(1100, 1100)
    write_sidecars(root / "data", files)
    options = CompileOptions(rules=rules)
    compile_table(root / "data", root / "set.parquet", options)
    return root / "set.parquet"


def read_entry(table, strategy):
    options = simpletuner.LoaderOptions(strategy=strategy)
    write_loader(table, table.parent / "data", table.parent / "multidatabackend.json", options)
    return read(table.parent)


def test_each_line_of_a_caption_file_is_a_caption_to_it(tmp_path):
    table = compiled(tmp_path, Rules(every_caption=True))
    write_captions(table, tmp_path / "data")
    assert (tmp_path / "data/x.txt").read_text() == "A fox.\nA fox in the snow."
    assert read_entry(table, "textfile") == SEVERAL


def test_each_item_of_a_list_in_the_table_is_a_caption_to_it(tmp_path):
    assert read_entry(compiled(tmp_path, Rules(every_caption=True)), "parquet") == SEVERAL


@pytest.mark.parametrize("strategy", ["textfile", "parquet"])
def test_one_caption_is_one_to_it(tmp_path, strategy):
    table = compiled(tmp_path, Rules())
    write_captions(table, tmp_path / "data")
    found = read_entry(table, strategy)
    assert found == {name: texts[:1] for name, texts in SEVERAL.items()}


def test_a_caption_with_a_line_break_is_two_of_a_caption_file_and_one_of_the_table(tmp_path):
    write_sidecars(tmp_path / "data", {"a.json": record(short_caption="A\nfox."), "a.png": png()})
    table = tmp_path / "set.parquet"
    options = CompileOptions(rules=Rules(raw_captions=True))
    compile_table(tmp_path / "data", table, options)
    write_captions(table, tmp_path / "data")
    assert read_entry(table, "textfile") == {"a.png": ["A", "fox."]}
    assert read_entry(table, "parquet") == {"a.png": ["A\nfox."]}
