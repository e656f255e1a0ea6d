from dataclasses import fields

import click
import pytest
from click.testing import CliRunner

from cutline import Address, CompileOptions, Local, Rules, UsageError
from cutline.__main__ import JOBS
from cutline.cli import commands
from cutline.cli.job_options import Checked, adjusted, chosen_cluster, compile_options


def test_an_argument_is_handed_on_as_it_was_typed():
    @click.command()
    @click.argument("path", type=Checked("PATH", str.upper))
    def command(path):
        click.echo(path)

    assert CliRunner().invoke(command, ["./a"]).stdout == "./a\n"


# Which cluster


def test_without_options_a_job_has_a_cluster_of_this_machine():
    assert chosen_cluster(None, None) == Local()


def test_a_scheduler_is_an_address():
    assert chosen_cluster(None, "tcp://h:1") == Address("tcp://h:1")


def test_a_cluster_file_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text("kind: local\nworkers: 7")
    assert chosen_cluster(str(tmp_path / "c.yaml"), None) == Local(workers=7)


def test_two_clusters_are_refused():
    with pytest.raises(UsageError, match="give one of them"):
        chosen_cluster("c.yaml", "tcp://h:1")


def test_the_command_line_has_the_last_word_on_a_local_cluster():
    written = Local(workers=7, memory_limit="2GiB", dashboard_address="127.0.0.1:1")
    assert adjusted(written, None, None) == written
    assert adjusted(written, 2, "none") == Local(2, memory_limit="2GiB", dashboard_address="none")


@pytest.mark.parametrize(
    ("workers", "dashboard", "named"),
    [
        (1, None, "leave --workers out"),
        (None, ":1", "leave --dashboard-address out"),
        (1, ":1", "leave --workers and --dashboard-address out"),
    ],
)
def test_options_of_a_local_cluster_are_refused_beside_a_scheduler(workers, dashboard, named):
    with pytest.raises(UsageError, match=named):
        adjusted(Address("tcp://h:1"), workers, dashboard)


# The options of a compile


def taken(*arguments):
    """The options that a command gets."""
    got = []

    @click.command()
    @compile_options
    def command(options):
        got.append(options)

    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    if result.exception:
        raise result.exception
    return got[0]


def test_the_defaults_are_those_of_the_functions():
    assert taken() == CompileOptions()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (
            ["--caption-field", "a", "--caption-field", "b"],
            CompileOptions(Rules(caption_fields=("a", "b"))),
        ),
        (
            ["--column", "c=field", "--column", "same", "--column", "e=a=b"],
            CompileOptions(Rules(columns=(("c", "field"), ("same", "same"), ("e", "a=b")))),
        ),
        (["--raw-captions"], CompileOptions(Rules(raw_captions=True))),
        (["--partition-size", "7"], CompileOptions(partition_size=7)),
        (["--max-rejects", "0.5"], CompileOptions(max_rejects=0.5)),
        (["--compression", "gzip"], CompileOptions(compression="gzip")),
        (["--fresh"], CompileOptions(fresh=True)),
        (["--force-unlock"], CompileOptions(force_unlock=True)),
    ],
)
def test_an_option_is_handed_on(arguments, options):
    assert taken(*arguments) == options
    assert taken(*arguments) != CompileOptions()


def test_every_option_of_the_functions_can_be_typed():
    @click.command()
    @compile_options
    def command(options): ...

    typed = {parameter.name for parameter in command.params}
    known = {field.name for kind in (Rules, CompileOptions) for field in fields(kind)}
    assert typed == known - {"rules"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--column", "=field"], "'=field' is not NAME=FIELD"),
        (["--column", "name="], "'name=' is not NAME=FIELD"),
        (["--column", ""], "'' is not NAME=FIELD"),
        (["--partition-size", "0"], "0 is not in the range x>=1"),
        (["--max-rejects", "1.1"], r"1\.1 is not in the range 0<=x<=1"),
        (["--compression", "zip"], "'zip' is not one of 'zstd', 'snappy'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(click.UsageError, match=said):
        taken(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--column", "caption=x"], "The table cannot have two columns 'caption'"),
        (["--column", "x=y", "--column", "x=z"], "The table cannot have two columns 'x'"),
        (["--max-rejects", "nan"], "give --max-rejects from 0 to 1."),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_sentence(arguments, said):
    @click.command()
    @compile_options
    def command(options): ...

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_commands_that_start_a_cluster_are_those_with_workers():
    with_workers = {
        name
        for name, command in commands.cutline.commands.items()
        if any(option.name == "workers" for option in command.params)
    }
    assert with_workers == JOBS
