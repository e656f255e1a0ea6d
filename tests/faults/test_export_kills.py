"""A kill of `cutline export` at several moments, and the same command again."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cutline import DemoOptions, compile_table, make_demo

MOMENTS = 12


def command(root, form):
    return [sys.executable, "-m", "cutline", "export", f"{root}/x.parquet", "--format", form]


def outputs(root, form):
    """Each index that stands under its final name, by its name."""
    place = root / f"x.{'webshart' if form == 'webshart' else 'wids.json'}"
    files = sorted(place.iterdir()) if place.is_dir() else [place] if place.exists() else []
    return {file.name: file.read_bytes() for file in files}


def remove(root):
    shutil.rmtree(root / "x.webshart", ignore_errors=True)
    (root / "x.wids.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset of shards with its table."""
    root = tmp_path_factory.mktemp("kills") / "root"
    make_demo(root, DemoOptions(3_000, form="shards"))
    compile_table(root / "data", root / "x.parquet")
    return root


@pytest.mark.parametrize("form", ["webshart", "wids"])
@pytest.mark.parametrize("older", [False, True], ids=["no index", "an older index"])
def test_an_index_stands_whole_after_a_kill_and_the_same_command_makes_it(root, form, older):
    remove(root)
    began = time.monotonic()
    subprocess.run(command(root, form), check=True, capture_output=True)
    spent, right = time.monotonic() - began, outputs(root, form)
    assert right
    landed = 0
    for number in range(MOMENTS):
        remove(root)
        old = make_older(root, form, right) if older else {}
        job = subprocess.Popen(command(root, form), stderr=subprocess.DEVNULL)
        time.sleep(spent * (0.5 + 0.5 * number / MOMENTS))  # before that it is starting
        landed += job.poll() is None
        job.send_signal(signal.SIGKILL)
        job.wait()
        assert outputs(root, form) in ({}, old, right)
        for content in outputs(root, form).values():
            json.loads(content)
        subprocess.run(command(root, form), check=True, capture_output=True)
        assert outputs(root, form) == right
        assert not (root / "x.cutline" / "attempts").exists()
    assert landed


def make_older(root, form, right):
    """Have an index there that is another one, and give it."""
    if form == "wids":
        (root / "x.wids.json").write_bytes(b"{}")
    else:
        (root / "x.webshart").mkdir()
        for name in right:
            (root / "x.webshart" / name).write_bytes(b"{}")
    return outputs(root, form)
