"""What SimpleTuner's own code finds; `make test-trainer` fetches its wheel without the rest."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cutline import DemoOptions, make_demo, run
from cutline.recipe import RunOptions
from cutline.trainers import export, simpletuner
from shards_at_home import ShardSet

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
