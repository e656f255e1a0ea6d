"""The options that every job has on the command line."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any, Final

import click
import msgspec
import orjson
from distributed import Client

from cutline.cli.endings import one_sentence, standard_output
from cutline.cluster import Address, Cluster, Local, connect, dashboard, read_cluster
from cutline.errors import CutlineError, UsageError
from cutline.extract import ExtractOptions
from cutline.process import stoppable
from cutline.progress import SILENT, Watcher, on_stderr
from cutline.record import Rules
from cutline.table import DEFAULTS, CompileOptions

Command = Callable[..., Any]


def max_rejects(about: str) -> Callable[[Command], Command]:
    """Give a command the option that says when too much is rejected."""
    return click.option(
        "--max-rejects",
        type=click.FloatRange(0, 1),
        default=DEFAULTS.max_rejects,
        show_default=True,
        help=about,
    )


ALLOW_DAMAGED: Final = click.option("--allow-damaged", is_flag=True, help="Bear damage in shards.")

FORCE_UNLOCK: Final = click.option(
    "--force-unlock", is_flag=True, help="Take over the lock of another host's run."
)

OPTION_FIELDS: Final = [field for field in fields(CompileOptions) if field.name != "rules"]


def job(command: Command) -> Command:
    """Give a command the options that every job has, and run it on the cluster they ask for."""

    @cluster_options
    @click.option(
        "--performance-report", metavar="FILE", help="Save Dask's own report of the job as HTML."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
    @click.option("--quiet", is_flag=True, help="Tell nothing but errors.")
    @functools.wraps(command)
    def run(
        *,
        chosen: Cluster,
        performance_report: str | None,
        as_json: bool,
        quiet: bool,
        **arguments: Any,
    ) -> None:
        watcher = SILENT if quiet else on_stderr()
        with one_sentence(), stoppable():
            with watched(chosen, watcher, performance_report) as client:
                summary = command(client=client, watcher=watcher, **arguments)
            watcher.report(summary)
            if as_json:
                with standard_output():
                    click.echo(orjson.dumps(summary.as_json()))
            if summary.shortfall:
                raise CutlineError(summary.shortfall)

    return run


def cluster_options(command: Command) -> Command:
    """Give a command the options that choose its cluster, as one value."""

    @click.option("--cluster", "cluster_file", metavar="FILE", help="A cluster.yaml.")
    @click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler that is running.")
    @click.option("--workers", type=click.IntRange(1), help="Worker processes of a local cluster.")
    @click.option(
        "--dashboard-address",
        metavar="HOST:PORT",
        help="Where the dashboard of a local cluster listens, or none."
        f"  [default: {Local().dashboard_address}]",
    )
    @functools.wraps(command)
    def run(
        *,
        cluster_file: str | None,
        scheduler: str | None,
        workers: int | None,
        dashboard_address: str | None,
        **arguments: Any,
    ) -> Any:
        with one_sentence():
            named = chosen_cluster(cluster_file, scheduler)
            chosen = adjusted(named, workers, dashboard_address)
        return command(chosen=chosen, **arguments)

    return run


@contextmanager
def watched(chosen: Cluster, watcher: Watcher, performance_report: str | None) -> Iterator[Client]:
    """Give a client of a cluster, and tell of the cluster while it is used."""
    if performance_report:
        dashboard.check_report(performance_report)
    with ExitStack() as stack:
        client = stack.enter_context(connect(chosen))
        if chosen.has_dashboard:
            for line in dashboard.where(client):
                watcher.say(line)
        if performance_report:
            stack.enter_context(dashboard.reported(client, performance_report))
        yield client


def chosen_cluster(file: str | None, scheduler: str | None) -> Cluster:
    """Choose the cluster that the options name, and a local one if they name none."""
    if file and scheduler:
        raise UsageError("Both --cluster and --scheduler name a cluster: give one of them.")
    if scheduler:
        return Address(scheduler)
    return read_cluster(file) if file else Local()


def adjusted(chosen: Cluster, workers: int | None, dashboard_address: str | None) -> Cluster:
    """Let the command line have the last word on a local cluster."""
    changes = {"workers": workers, "dashboard_address": dashboard_address}
    changes = {name: value for name, value in changes.items() if value is not None}
    if isinstance(chosen, Local):
        return msgspec.structs.replace(chosen, **changes)
    if changes:
        options = " and ".join("--" + name.replace("_", "-") for name in changes)
        raise UsageError(f"The scheduler runs already: leave {options} out.")
    return chosen


def compile_options(command: Command) -> Command:
    """Give a command the options of a compile, as one value."""

    @click.option(
        "--caption-field",
        "caption_fields",
        multiple=True,
        default=DEFAULTS.rules.caption_fields,
        show_default=True,
        metavar="FIELD",
        help="Where the caption is; repeat it for second choices.",
    )
    @click.option(
        "--column",
        "columns",
        multiple=True,
        type=ColumnType(),
        help="An extra text column of the table, and the field it is from; repeatable.",
    )
    @click.option("--raw-captions", is_flag=True, help="Keep line breaks in captions.")
    @click.option(
        "--partition-size",
        type=click.IntRange(1),
        default=DEFAULTS.partition_size,
        show_default=True,
        help="Sidecars a part.",
    )
    @max_rejects("The share of sidecars that may be rejected, no_width not counted.")
    @click.option(
        "--compression",
        type=click.Choice(CompileOptions.CODECS),
        default=DEFAULTS.compression,
        show_default=True,
        help="The codec of the table.",
    )
    @ALLOW_DAMAGED
    @click.option("--fresh", is_flag=True, help="Make every part anew.")
    @FORCE_UNLOCK
    @functools.wraps(command)
    def run(
        *,
        caption_fields: tuple[str, ...],
        columns: tuple[tuple[str, str], ...],
        raw_captions: bool,
        **arguments: Any,
    ) -> Any:
        rules = Rules(caption_fields, columns, raw_captions)
        chosen = {field.name: arguments.pop(field.name) for field in OPTION_FIELDS}
        with one_sentence():
            options = CompileOptions(rules, **chosen)
        return command(options=options, **arguments)

    return run


def extract_options(command: Command) -> Command:
    """Give a command the options of an extraction, as one value."""

    @click.option(
        "--only",
        type=click.Choice(["images", "sidecars"]),
        help="Sidecars are *.json, images are all others.",
    )
    @click.option("--overwrite", is_flag=True, help="Replace whatever files are there.")
    @max_rejects("The share of members that may become no file.")
    @ALLOW_DAMAGED
    @FORCE_UNLOCK
    @functools.wraps(command)
    def run(**arguments: Any) -> Any:
        names = ("only", "overwrite", "max_rejects", "allow_damaged", "force_unlock")
        chosen = {name: arguments.pop(name) for name in names}
        return command(options=ExtractOptions(**chosen), **arguments)

    return run


class ColumnType(click.ParamType[tuple[str, str]]):
    """The value of ``--column``."""

    name = "NAME=FIELD"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Split it; a name alone is also its field."""
        name, sign, field = value.partition("=")
        if not name or (sign and not field):
            self.fail(f"{value!r} is not NAME=FIELD", param, ctx)
        return name, field or name


class Checked(click.ParamType[str]):
    """An argument that is checked before a cluster is started for it."""

    def __init__(self, name: str, check: Callable[[str], object]) -> None:
        self.name = name
        self.check = check

    def convert(self, value: Any, param: Any, ctx: Any) -> str:  # noqa: ARG002 - click's signature
        """Check it."""
        with one_sentence():
            self.check(value)
        return str(value)
