"""One demo gives the same table, caption files and images on every file system."""

import os
import subprocess
import sys

import pytest
from places import REAL

pytestmark = pytest.mark.filesystems

ODD = {
    "CIFS, DrvFs": "sync syncfs",
    "FUSE": "tmpfile locks",
    "FAT": "link tmpfile chmod",
    "NFS": "tmpfile flags copy",
    "all of it": "tmpfile link flags locks chmod sync syncfs copy",
}


DASKS_OWN = {"DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING": "False"}
"""Dask locks its scratch space, which is not on the odd file system, and is loud if it cannot."""


def cutline(*words, odd=None, **environment):
    more = environment | ({"LD_PRELOAD": os.fspath(odd)} | DASKS_OWN if odd else {})
    return subprocess.run(
        [sys.executable, "-m", "cutline", *map(os.fspath, words)],
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )


def prepared(root, **way):
    """Make the demo in a folder and run the recipe on it twice; return what it made."""
    made = cutline("demo", root, "--records", "100", **way)
    assert made.returncode == 0, made.stderr
    told = []
    for _ in range(2):
        ran = cutline("run", root, "--workers", "1", "--dashboard-address", "none", **way)
        assert ran.returncode <= 1, ran.stderr
        assert "Traceback" not in ran.stderr
        told.append(ran)
    names = {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        if ".cutline" not in folder  # notes of times and inodes
        for name in names
    }
    kept = {name for name in names if name.endswith((".txt", ".jpg", ".png", ".json"))}
    kept |= {f"{os.path.basename(root)}.parquet"}
    contents = {}
    for name in kept:
        if not name.endswith("multidatabackend.json") and os.path.exists(f"{root}/{name}"):
            with open(f"{root}/{name}", "rb") as file:
                contents[name] = file.read()
    return contents, told


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    contents, _ = prepared(tmp_path_factory.mktemp("here") / "dalle3")
    assert any(name.endswith(".txt") for name in contents)
    assert "dalle3.parquet" in contents
    return contents


@pytest.mark.parametrize("place", REAL, indirect=True)
def test_a_demo_gives_the_same_on_a_real_file_system(place, expected):
    contents, told = prepared(place / "dalle3")
    assert contents.keys() == expected.keys(), told[0].stderr
    assert contents == expected


@pytest.mark.parametrize("lacks", ODD.values(), ids=ODD)
def test_a_demo_gives_the_same_where_something_is_lacking(tmp_path, odd, expected, lacks):
    contents, told = prepared(tmp_path / "dalle3", odd=odd, ODD=lacks)
    assert contents.keys() == expected.keys(), told[0].stderr
    assert contents == expected
    assert ("cannot sync folders" in told[0].stderr) == ("sync" in lacks.split())
