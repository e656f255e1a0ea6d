"""What the documents show is true: their commands run, their names are there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import cutline
from cutline.record.reasons import REASONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MODULES = sorted((ROOT / "src/cutline").rglob("*.py"))


def blocks(language: str) -> list[str]:
    """Give the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    return [line.split("  #")[0] for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The folder of somebody who has typed what the README says, up to the Python."""
    folder = tmp_path_factory.mktemp("reader")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in shell_lines():
        if line.startswith("cutline "):
            done = subprocess.run(
                shlex.split(line), cwd=folder, env={**os.environ, "PATH": path}, check=False
            )
            assert done.returncode == line.startswith("cutline run "), line  # 1, as is said there
    return folder


def test_the_commands_of_the_readme_run(reader):
    assert (reader / "dalle3/dalle3.parquet").exists()


def test_the_output_tree_of_the_readme_is_what_is_left_behind(reader):
    tree = next(block for block in blocks("text") if block.startswith("dalle3/"))
    shown = {line.split()[0].rstrip("/") for line in tree.splitlines()[1:]}
    left = {path.name for path in (reader / "dalle3").iterdir()} - {"expected.json"}
    assert shown == left


def test_the_python_of_the_readme_runs(reader):
    (code,) = blocks("python")
    (reader / "readme.py").write_text(code)
    command = [sys.executable, "readme.py"]
    done = subprocess.run(command, cwd=reader, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith("953 rows;")


def test_the_make_targets_of_the_documents_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"make ([a-z-]+)  ", texts)) <= targets


def test_the_readme_names_every_reason():
    assert [reason for reason in REASONS if f"`{reason}`" not in README] == []


def test_the_files_that_the_documents_name_are_there():
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        named = re.findall(
            r"`((?:src|docs|jobs|tests|\.ci)/[\w./]+)`", (ROOT / document).read_text()
        )
        assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_key_of_the_cluster_file_is_the_default_and_has_a_comment():
    text = (ROOT / "cluster.yaml").read_text()
    assert cutline.read_cluster(str(ROOT / "cluster.yaml")) == cutline.Local()
    for key in yaml.safe_load(text):
        assert re.search(rf"^# .*\n{key}:", text, re.MULTILINE), key


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.name)
def test_a_job_to_copy_is_short(job):
    assert len(job.read_text().splitlines()) <= 40


def test_the_lower_layers_import_no_dask():
    script = "import sys, cutline.sources, cutline.tar; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    modules = {name.split(".")[0] for name in loaded.stdout.decode().split()}
    assert "cutline" in modules
    assert not modules & {"dask", "distributed"}
