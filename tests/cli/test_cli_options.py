import logging
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner
from msgspec import Meta

from cutline import (
    Address,
    CompileOptions,
    ExtractOptions,
    LoaderOptions,
    Local,
    Rules,
    RunOptions,
    UsageError,
    VerifyOptions,
)
from cutline.__main__ import JOBS
from cutline.cli import commands, jobs
from cutline.cli.arguments import Checked
from cutline.cli.generated import taking
from cutline.cli.jobs import ClusterOptions, JobOptions
from cutline.plan.selection import Selection


def test_an_argument_is_handed_on_as_it_was_typed():
    @click.command()
    @click.argument("path", type=Checked("PATH", str.upper))
    def command(path):
        click.echo(path)

    assert CliRunner().invoke(command, ["./a"]).stdout == "./a\n"


# Which cluster


def test_without_options_a_job_has_a_cluster_of_this_machine():
    assert ClusterOptions().cluster() == Local()


def test_a_scheduler_is_an_address():
    assert ClusterOptions(scheduler="tcp://h:1").cluster() == Address("tcp://h:1")


def test_a_cluster_file_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text("kind: local\nworkers: 7")
    assert ClusterOptions(str(tmp_path / "c.yaml")).cluster() == Local(workers=7)


def test_a_scheduler_file_is_an_address():
    assert ClusterOptions(scheduler_file="s.json").cluster() == Address(scheduler_file="s.json")


def test_options_of_a_local_cluster_are_refused_beside_another_kind(tmp_path):
    (tmp_path / "c.yaml").write_text("{kind: spec, module: distributed, class: LocalCluster}")
    with pytest.raises(UsageError, match="has them in its own words: leave --workers out"):
        ClusterOptions(str(tmp_path / "c.yaml"), workers=1).cluster()


def test_two_clusters_are_refused():
    with pytest.raises(UsageError, match="give one of them"):
        ClusterOptions("c.yaml", "tcp://h:1").cluster()


def test_the_command_line_has_the_last_word_on_a_local_cluster(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("{kind: local, workers: 7, memory_limit: 2GiB, dashboard_address: ':1'}")
    adjusted = ClusterOptions(str(path), workers=2, dashboard_address="none").cluster()
    assert adjusted == Local(2, memory_limit="2GiB", dashboard_address="none")


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
        ClusterOptions(
            scheduler="tcp://h:1", workers=workers, dashboard_address=dashboard
        ).cluster()


# The options of a compile


def taken(*arguments, **kinds):
    """The options that a command gets: of a compile, or the value of each of these classes."""
    got = []

    @click.command()
    @taking(**(kinds or {"options": CompileOptions}))
    def command(**values):
        got.append(values if kinds else values["options"])

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
    @taking(options=CompileOptions)
    def command(options): ...

    typed = {parameter.name for parameter in command.params}
    kinds = (Rules, Selection, CompileOptions)
    known = {field.name for kind in kinds for field in fields(kind)}
    assert typed == known - {"rules", "selection"}


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
    @taking(options=CompileOptions)
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


# Options that are generated


@dataclass(frozen=True)
class Baking:
    """How to bake.

    Attributes
    ----------
    hours, degrees
        How much
        of `it`.
    shape
        Which ``one``.
    """

    hours: Annotated[float | None, Meta(ge=0, le=9)] = None
    degrees: int = 180
    shape: Literal["round", "long"] | None = None
    glaze: bool = False
    salt: bool = True
    herbs: tuple[str, ...] = ()
    fan: Annotated[bool, Meta(description="Hot air.", extra={"flag": "--hot-air"})] = False


@dataclass(frozen=True)
class Serving:
    """How to serve."""

    degrees: int = 60
    plates: int = 4


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], Baking()),
        (["--hours", "0.5"], Baking(hours=0.5)),
        (["--degrees", "90"], Baking(degrees=90)),
        (["--shape", "long"], Baking(shape="long")),
        (["--glaze"], Baking(glaze=True)),
        (["--no-salt"], Baking(salt=False)),
        (["--herb", "a", "--herb", "b"], Baking(herbs=("a", "b"))),
        (["--hot-air"], Baking(fan=True)),
    ],
)
def test_a_field_of_each_kind_is_an_option(arguments, options):
    assert taken(*arguments, baking=Baking) == {"baking": options}


@pytest.mark.parametrize("arguments", [["--hours", "9.5"], ["--shape", "flat"], ["--degrees", "x"]])
def test_a_value_that_a_field_cannot_have_is_refused(arguments):
    with pytest.raises(click.UsageError):
        taken(*arguments, baking=Baking)


def test_what_the_class_says_of_a_field_is_its_help():
    @click.command()
    @taking(baking=Baking)
    def command(baking): ...

    helps = {option.name: option.help for option in command.params}
    assert helps["hours"] == helps["degrees"] == "How much of it."
    assert (helps["shape"], helps["glaze"], helps["fan"]) == ("Which one.", None, "Hot air.")
    assert helps["herbs"] == "Repeatable."


def test_an_option_of_two_classes_is_one_and_untyped_has_the_default_of_each():
    both = {"baking": Baking, "serving": Serving}
    assert taken(**both) == {"baking": Baking(), "serving": Serving()}
    typed = taken("--degrees", "70", "--plates", "2", **both)
    assert typed == {"baking": Baking(degrees=70), "serving": Serving(70, 2)}


def test_a_command_may_take_the_options_of_every_step():
    steps = {
        "compiling": CompileOptions,
        "extracting": ExtractOptions,
        "verifying": VerifyOptions,
        "loading": LoaderOptions,
        "job": JobOptions,
    }
    assert taken(**steps) == {name: kind() for name, kind in steps.items()}
    typed = taken("--max-rejects", "0.5", "--strategy", "parquet", "--workers", "3", **steps)
    assert typed == {
        "compiling": CompileOptions(max_rejects=0.5),
        "extracting": ExtractOptions(max_rejects=0.5),
        "verifying": VerifyOptions(strategy="parquet"),
        "loading": LoaderOptions(strategy="parquet"),
        "job": JobOptions(ClusterOptions(workers=3)),
    }


@pytest.mark.parametrize("name", sorted(commands.cutline.commands))
def test_every_option_of_a_command_says_what_it_is(name):
    options = [
        one for one in commands.cutline.commands[name].params if one.param_type_name == "option"
    ]
    assert [option.name for option in options if not option.help] == []


OF_ONE_STEP = {
    "only": "a run without sidecars, or without images, is none",
    "out": "a run leaves the trainer's file beside the table",
}
"""Options of steps that a run does not have, and why."""


def flags(name):
    """The options of a command by their flags, but for help."""
    options = commands.cutline.commands[name].params
    return {one.opts[0]: one for one in options if one.param_type_name == "option"}


@pytest.mark.parametrize("step", ["compile", "captions", "extract", "verify", "loader"])
def test_a_run_has_every_option_of_its_steps(step):
    left_out = {f"--{name}" for name in OF_ONE_STEP}
    assert flags(step).keys() - flags("run").keys() <= left_out


def test_what_a_run_does_not_have_is_an_option_of_a_step():
    steps = {flag for step in ("extract", "loader") for flag in flags(step)}
    assert {f"--{name}" for name in OF_ONE_STEP} <= steps - flags("run").keys()


def test_an_option_of_a_run_comes_to_each_step_that_has_it(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text("{}")
    got = []
    monkeypatch.setattr(commands, "run_job", lambda _job, _run, *arguments: got.append(arguments))
    typed = "--strategy parquet --expect 3 --id x --resolution 0.5 --headers 7 --cache-dir-vae /v"
    more = "--overwrite --max-rejects 0.5 --orphans caption --partition-size 9 --check-sizes"
    arguments = ["run", str(tmp_path), *typed.split(), *more.split()]
    result = CliRunner().invoke(commands.cutline, arguments)
    assert (result.exit_code, result.output) == (0, "")
    ((root, options, chosen),) = got
    assert (root, options) == (str(tmp_path), CompileOptions(max_rejects=0.5, partition_size=9))
    assert chosen == RunOptions(
        extract=ExtractOptions(overwrite=True, max_rejects=0.5),
        verify=VerifyOptions(strategy="parquet", expect=3, sizes=True, headers=7),
        loader=LoaderOptions(id="x", strategy="parquet", resolution=0.5, cache_dir_vae="/v"),
        orphans="caption",
    )


def test_who_wants_to_hear_of_nothing_hears_what_cutline_warns_of_and_nothing_of_dask():
    names = ["distributed", "distributed.nanny", "tornado.application", "some.other"]
    before = [logging.getLogger(name).level for name in ["", "cutline", *names]]
    with jobs._dask_silent():
        heard = [name for name in names if logging.getLogger(name).isEnabledFor(logging.CRITICAL)]
        assert heard == []
        assert logging.getLogger("cutline").isEnabledFor(logging.WARNING)
    assert [logging.getLogger(name).level for name in ["", "cutline", *names]] == before
