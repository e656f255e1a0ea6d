"""The scripts to copy: they run as they are."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from intact import Dataset
from processes import run
from trees import texts

pytestmark = pytest.mark.commands

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture
def root(tmp_path):
    """A dataset, and a small cluster for it."""
    root = tmp_path / "flowers"
    for number in range(5):
        Dataset(root).add(f"{number}.png", width=1024, height=768)  # as a trainer wants them
        Image.new("L", (1024, 768)).save(root / f"data/{number}.png")
    (tmp_path / "c.yaml").write_text("kind: local\nworkers: 1\ndashboard_address: 127.0.0.1:0")
    return root


def do(job, *arguments, cwd):
    result = run("python", JOBS / job, *arguments, cwd=cwd)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_the_two_halves_of_the_recipe(root, tmp_path):
    where = ("--cluster", "c.yaml")
    printed = do("compile.py", "flowers/data", "t.parquet", *where, cwd=tmp_path)
    assert re.search(r"sidecars +5\n +rows +5\n", printed)
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 5
    printed = do("captions.py", "t.parquet", "flowers/data", *where, cwd=tmp_path)
    assert re.search(r"written +5\n", printed)
    assert len(texts(root / "data")) == 5


def test_what_was_not_done_is_said_and_fails_the_job(root, tmp_path):
    (root / "data/4.png").unlink()
    result = run("python", JOBS / "dalle3.py", "flowers", "--cluster", "c.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert "rows without image 1" in result.stderr


def test_the_whole_recipe(root, tmp_path):
    printed = do("dalle3.py", "flowers", "--cluster", "c.yaml", cwd=tmp_path)
    assert "Watch it at http://127.0.0.1:" in printed
    assert re.search(r"rows +5\n", printed)
    assert re.search(r"written +5\n", printed)
    assert pq.read_table(root / "flowers.parquet").num_rows == 5
    assert len(texts(root / "data")) == 5
