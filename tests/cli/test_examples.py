import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cutline import make_demo, run
from cutline.cli import cutline
from cutline.demo import DemoOptions

BINARIES = Path(sys.executable).parent


@pytest.fixture(scope="module")
def above(tmp_path_factory):
    """The folder above a set that was run."""
    folder = tmp_path_factory.mktemp("above")
    make_demo(folder / "dalle3", DemoOptions(100, form="shards"))
    run(folder / "dalle3")
    return folder


@pytest.fixture(autouse=True)
def there(above, monkeypatch):
    monkeypatch.chdir(above)


@pytest.mark.parametrize("name", sorted(cutline.commands))
def test_the_examples_in_the_help_of_a_command_are_understood(name):
    shown = CliRunner().invoke(cutline, [name, "--help"]).stdout.partition("Examples:")[2]
    examples = [line.strip() for line in shown.splitlines() if line.strip()]
    assert examples
    for example in examples:
        program, command, *arguments = shlex.split(example)
        assert (program, command) == ("cutline", name)
        cutline.commands[name].make_context(name, arguments)


def completed(line):
    """What a real bash offers after a line, by the script that the documents name."""
    script = f"""
        eval "$(_CUTLINE_COMPLETE=bash_source cutline)"
        COMP_WORDS=({line}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        compopt() {{ echo "option $*"; }}
        _cutline_completion cutline
        echo "${{COMPREPLY[@]}}"
    """
    env = {**os.environ, "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", script]
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize("line", ["run dal", "compile dal", "compile x --cluster dal", "head dal"])
def test_bash_completes_a_path(line):
    offered = completed(f"cutline {line}").split()
    assert offered == ["option", "-o", "default"]  # bash's own completion of files


def test_bash_completes_an_option():
    assert completed("cutline run --no-e").split() == ["--no-extract"]


def test_a_flat_folder_gets_the_command_that_was_meant(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.json").write_text("{}")
    result = CliRunner().invoke(cutline, ["run", str(tmp_path / "data")])
    assert f"cutline run {tmp_path}" in result.stderr
    (tmp_path / "data").rename(tmp_path / "flat")
    result = CliRunner().invoke(cutline, ["run", str(tmp_path / "flat")])
    assert f"`cutline compile {tmp_path}/flat {tmp_path}/flat.parquet`" in result.stderr
    assert result.exit_code == 2


def test_the_loader_names_the_entry_after_the_table():
    result = CliRunner().invoke(cutline, ["loader", "dalle3/dalle3.parquet", "--out", "l.json"])
    assert result.stderr.startswith("The entry dalle3 is in l.json")


def test_a_demo_ends_with_the_next_command():
    result = CliRunner().invoke(cutline, ["demo", "a demo", "--records", "100"])
    made, now = result.stderr.splitlines()
    assert made.startswith("Made 100 sidecars and 100 images in a demo. A run must count ")
    assert (now, result.stdout) == ("Now prepare it: cutline run 'a demo'", "")


def test_the_help_of_a_command_has_a_section_for_each_class_of_options():
    shown = CliRunner().invoke(cutline, ["run", "--help"]).stdout
    sections = [line for line in shown.splitlines() if line and line[0] != " "]
    assert "How to compile:" in sections
    assert sections[-1] == "Options:"
    below = shown.partition("How to extract:\n")[2].partition("\n\n")[0]
    assert below.split()[0] == "--overwrite"


def test_the_commands_are_listed_in_the_order_of_their_use():
    shown = CliRunner().invoke(cutline, ["--help"]).stdout.partition("Commands:\n")[2]
    listed = [line.split()[0] for line in shown.splitlines()]
    assert (listed[0], {*listed}) == ("run", {*cutline.commands})
