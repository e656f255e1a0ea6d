"""Folders that the user who runs a job cannot list: root's own, and others."""

import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from PIL import Image

from sidecars import numbered, record, write_sidecars

AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""What takes from root its leave to look everywhere; the interpreter may be one of its own."""

pytestmark = [
    pytest.mark.commands,
    pytest.mark.skipif(
        os.geteuid() == 0 and not shutil.which("setpriv"), reason="root can list everything"
    ),
]


@pytest.fixture
def root(tmp_path):
    """A dataset of five good samples."""
    write_sidecars(f"{tmp_path}/data", numbered(5))
    for number in range(5):
        Image.new("RGB", (1024, 768)).save(f"{tmp_path}/data/{number:03}.png")
    yield str(tmp_path)
    for folder, below, _ in os.walk(tmp_path):
        for name in below:
            os.chmod(f"{folder}/{name}", 0o700)


def hide(root, name):
    """Make a folder that nobody but root can list."""
    write_sidecars(f"{root}/data/{name}", {"x.json": record("x.png")})
    os.chmod(f"{root}/data/{name}", 0)


def cutline(root, *arguments):
    """Run a command as a user who is not root."""
    before = AS_ANYBODY if os.geteuid() == 0 else ()
    command = [*before, sys.executable, "-m", "cutline", *arguments, "--workers", "1"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_what_root_keeps_among_the_data_stops_nobody(root):
    for name in ("lost+found", ".Trash-0", "sub/System Volume Information"):
        hide(root, name)
    done = cutline(root, "run", root)
    assert done.returncode == 0, done.stderr
    assert pq.read_metadata(f"{root}/{os.path.basename(root)}.parquet").num_rows == 5


@pytest.mark.parametrize("source", ["{}/data", "file://{}/data"])
def test_another_folder_is_told_and_the_rest_is_done(root, source):
    hide(root, "sub/private")
    done = cutline(root, "compile", source.format(root), f"{root}/t.parquet")
    assert done.returncode == 1
    assert "sub/private (Permission denied): make them readable or move them away" in done.stderr
    assert pq.read_metadata(f"{root}/t.parquet").num_rows == 5


def test_a_run_tells_it_too_and_so_does_its_verification(root):
    hide(root, "sub/private")
    done = cutline(root, "run", root)
    assert done.returncode == 1
    assert "sub/private (Permission denied): make them readable or move them away" in done.stderr
    assert "unlisted folders 1" in done.stderr
    assert os.path.exists(f"{root}/data/004.txt")
