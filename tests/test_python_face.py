"""Cutline from Python: keywords, summaries, progress in a notebook, and what type checkers say."""

import html
import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import click
import IPython
import pyarrow.parquet as pq
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import cutline
from cutline.cli import cutline as command_line
from cutline.errors import as_typed
from cutline.progress import Load
from cutline.progress.log import Log
from cutline.progress.notebook import Notebook
from intact import intact

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs/python.md").read_text(), re.MULTILINE | re.DOTALL
)

COMMANDS = {
    "compile": cutline.compile_table,
    "captions": cutline.write_captions,
    "run": cutline.run,
    "extract": cutline.extract,
    "loader": cutline.write_loader,
    "demo": cutline.make_demo,
}
"""The functions of the commands that have options of their own."""

VERIFYING = cutline.VerifyOptions(sizes=True)

OF_COMMAND_LINE = {
    *("cluster_file", "scheduler", "scheduler_file", "workers", "dashboard_address"),
    *("performance_report", "as_json", "quiet", "help"),  # of every command
    "dry_run",  # what a job would cost is asked of another function
    *("no_extract", "loose", "hostile", "out", "name"),  # other functions, or plain arguments
}
"""What is no option of a job."""


@pytest.fixture(scope="module")
def sidecars(tmp_path_factory):
    root = tmp_path_factory.mktemp("face") / "demo"
    cutline.make_demo(root, records=100, images=False)
    return root / "data"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_of_the_command_line_is_a_keyword(command):
    parameters = inspect.signature(COMMANDS[command]).parameters
    for option in command_line.commands[command].params:
        if isinstance(option, click.Option) and option.name not in OF_COMMAND_LINE:
            flag = option.opts[0].removeprefix("--").replace("-", "_")
            assert {flag, option.name} & parameters.keys(), flag


def test_a_keyword_is_the_field_of_an_option(sidecars, tmp_path):
    fields = ("long_caption", "short_caption")
    rules = cutline.Rules(caption_fields=fields, columns=(("source", "url"),))
    options = cutline.CompileOptions(rules=rules, max_rejects=0.9)
    cutline.compile_table(sidecars, tmp_path / "a.parquet", options)
    cutline.compile_table(
        sidecars,
        tmp_path / "b.parquet",
        caption_field=list(fields),
        column={"source": "url"},
        max_rejects=0.9,
    )
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_options_can_be_typed_again():
    rules = cutline.Rules(("a b", "c"), (("source", "url"),))
    options = cutline.CompileOptions(rules, max_rejects=0.5, fresh=True)
    typed = as_typed(options, cutline.RunOptions(verify=VERIFYING, orphans="move"))
    run = command_line.commands["run"]
    seen = run.make_context("run", typed, resilient_parsing=True).params
    assert seen["caption_fields"] == ("a b", "c")
    assert (seen["columns"], seen["max_rejects"]) == ((("source", "url"),), 0.5)
    assert (seen["fresh"], seen["sizes"], seen["orphans"]) == (True, True, "move")


def test_a_keyword_wins_over_the_options_beside_it(sidecars, tmp_path):
    options = cutline.CompileOptions(cutline.Rules(("short_caption",)), compression="gzip")
    table = tmp_path / "t.parquet"
    cutline.compile_table(sidecars, table, options, caption_field="long_caption", max_rejects=0.9)
    assert pq.ParquetFile(table).metadata.row_group(0).column(0).compression == "GZIP"
    (first,) = cutline.first_rows(table, 1).to_pylist()
    cutline.compile_table(sidecars, table, options, max_rejects=0.9)
    assert first != cutline.first_rows(table, 1).to_pylist()[0]


def test_a_keyword_that_is_no_option_or_has_a_wrong_value_is_refused(sidecars, tmp_path):
    table = tmp_path / "t.parquet"
    with pytest.raises(TypeError, match="caption_feild"):
        cutline.compile_table(sidecars, table, caption_feild="long_caption")
    with pytest.raises(cutline.UsageError, match="partition_size of CompileOptions is 'many'"):
        cutline.compile_table(sidecars, table, partition_size="many")
    with pytest.raises(cutline.UsageError, match="options of compile_table is 7"):
        cutline.compile_table(sidecars, table, 7, partition_size=5)


def test_a_summary_that_is_well_checks_to_itself_and_another_raises_its_shortfall(tmp_path):
    made = intact(tmp_path / "set")
    summary = cutline.verify_dataset(made.table, made.data)
    assert summary.check() is summary
    (made.data / "orphan.jpg").write_bytes(b"x")
    summary = cutline.verify_dataset(made.table, made.data)
    with pytest.raises(cutline.CutlineError) as raised:
        summary.check()
    assert str(raised.value) == summary.shortfall


def test_a_notebook_shows_a_summary_as_a_table(tmp_path):
    made = intact(tmp_path / "<b>set")
    summary = cutline.run(made.root)
    shown = summary._repr_html_()
    for step in ("compile", "captions", "verify", "report"):
        assert f"<th style='text-align: left'>{step}</th>" in shown
    assert html.escape(summary.compile.table) in shown
    assert "<b>set" not in shown


def test_a_notebook_shows_a_bar_that_fills():
    InteractiveShell.instance()
    with capture_output() as shown, Notebook().stage("compile-rows", Load(3)) as advance:
        for _ in range(3):
            advance(1)
    first, last = (output.data["text/html"] for output in (shown.outputs[0], shown.outputs[-1]))
    assert "<code>compile-rows</code> <progress value='0' max='3'></progress> 0 of 3 tasks" in first
    assert "<progress value='3' max='3'></progress> 3 of 3 tasks" in last


@pytest.mark.parametrize("shell", [None, SimpleNamespace(), SimpleNamespace(kernel=object())])
def test_progress_is_shown_as_bars_in_a_notebook_and_as_lines_elsewhere(monkeypatch, shell):
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    expected = Notebook if hasattr(shell, "kernel") else Log
    assert isinstance(cutline.show_progress(), expected)


def test_the_version_is_that_of_the_package():
    assert cutline.__version__ == version("cutline")


def test_help_lists_the_keywords():
    text = subprocess.run(
        [sys.executable, "-c", "import cutline; help(cutline.compile_table)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"\bcaption_field=", text)
    assert "caption_fields=" not in text
    assert max(map(len, text.splitlines())) < 1000
    assert "Compile the sidecars of a source into one parquet table." in text


@pytest.mark.commands
@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]], ids=lambda one: one[0])
def test_type_checkers_pass_the_examples(checker, tmp_path):
    files = []
    for number, example in enumerate(EXAMPLES):
        (path := tmp_path / f"example_{number}.py").write_text(example)
        files.append(str(path))
    here = ["--pythonpath", sys.executable] if checker == ["pyright"] else []
    command = [sys.executable, "-m", *checker, *here, *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
