"""How a command runs a job: on which cluster, and what it tells."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import click
import msgspec
import orjson
from dask.system import CPU_COUNT
from distributed import Client
from msgspec import Meta

from cutline.cli.endings import one_sentence, standard_output, tell
from cutline.cluster import census, connect, dashboard, kinds
from cutline.errors import CutlineError, UsageError
from cutline.process import stoppable
from cutline.progress import SILENT, Summary, Watcher, show_captions_page, show_progress

# None has to mean that it was not typed, so the default is shown by hand.
_LISTENS: Final = (
    "Where the dashboard of a local cluster listens, or none."
    f"  [default: {kinds.Local().dashboard_address}]"
)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster to work on.

    Attributes
    ----------
    cluster_file
        A cluster.yaml.
    scheduler
        A Dask scheduler that is running.
    scheduler_file
        The file in which a running scheduler says where it is.
    workers
        Worker processes of a local cluster.
    """

    cluster_file: Annotated[str | None, Meta(extra={"flag": "--cluster", "metavar": "FILE"})] = None
    scheduler: Annotated[str | None, Meta(extra={"metavar": "ADDRESS"})] = None
    scheduler_file: Annotated[str | None, Meta(extra={"metavar": "FILE"})] = None
    workers: Annotated[int | None, Meta(ge=1)] = None
    dashboard_address: Annotated[
        str | None, Meta(description=_LISTENS, extra={"metavar": "HOST:PORT"})
    ] = None

    def cluster(self) -> kinds.Cluster:
        """Return the cluster that the options name, and a local one if they name none.

        Raises
        ------
        UsageError
            They contradict each other, or the cluster file cannot be used.
        """
        named = self._named()
        typed = {"workers": self.workers, "dashboard_address": self.dashboard_address}
        changes = {name: value for name, value in typed.items() if value is not None}
        if isinstance(named, kinds.Local):
            return msgspec.structs.replace(named, **changes)
        if changes:
            options = " and ".join("--" + name.replace("_", "-") for name in changes)
            why = "The scheduler runs already"
            if not isinstance(named, kinds.Address):
                why = f"The cluster file {self.cluster_file} has them in its own words"
            raise UsageError(f"{why}: leave {options} out.")
        return named

    def _named(self) -> kinds.Cluster:
        ways = {
            "--cluster": self.cluster_file,
            "--scheduler": self.scheduler,
            "--scheduler-file": self.scheduler_file,
        }
        typed = [option for option, value in ways.items() if value is not None]
        if len(typed) > 1:
            raise UsageError(f"Both {' and '.join(typed)} name a cluster: give one of them.")
        if self.cluster_file is not None:
            return kinds.read_cluster(self.cluster_file)
        if typed:
            return kinds.Address(self.scheduler, self.scheduler_file)
        return kinds.Local()


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a job tells, and where it runs.

    Attributes
    ----------
    performance_report
        Save Dask's own report of the job as HTML.
    as_json
        Print the summary as JSON.
    quiet
        Print nothing but errors.
    """

    where: ClusterOptions = field(default_factory=ClusterOptions)
    performance_report: Annotated[str | None, Meta(extra={"metavar": "FILE"})] = None
    as_json: Annotated[bool, Meta(extra={"flag": "--json"})] = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class CostOptions:
    """Instead of the job: what it would take.

    Attributes
    ----------
    dry_run
        Write nothing: look at a sample, and tell what would be read and written.
    """

    dry_run: bool = False


def tell_cost(options: JobOptions, estimate: Callable[..., Summary], *arguments: object) -> None:
    """Print what a job would take with these arguments and as many workers as it would have."""
    watcher = SILENT if options.quiet else show_progress()
    with one_sentence(), stoppable():
        cost = estimate(*arguments, workers=options.where.workers or CPU_COUNT)
        _tell(cost, cost.as_json(), options, watcher)


def _tell(summary: Summary, body: dict[str, Any], options: JobOptions, watcher: Watcher) -> None:
    watcher.report(summary)
    if options.as_json:
        with standard_output():
            click.echo(orjson.dumps(body))
    if summary.shortfall:
        raise CutlineError(summary.shortfall)
    if summary.sequel and not options.quiet:
        tell(summary.sequel)


def run_job(options: JobOptions, job: Callable[..., Summary], *arguments: object) -> None:
    """Run a job with these arguments on the cluster of the options, and print what it came to."""
    watcher = SILENT if options.quiet else show_progress()
    with one_sentence(), stoppable():
        cluster = options.where.cluster()
        with _client(cluster, options, watcher) as client:
            counts = census.count_workers(client)
            summary = job(*arguments, client=client, watcher=watcher)
            workers = {"kind": kinds.name_of(cluster), **counts()}
        _tell(summary, {**summary.as_json(), "cluster": workers}, options, watcher)


@contextmanager
def _client(cluster: kinds.Cluster, options: JobOptions, watcher: Watcher) -> Iterator[Client]:
    if options.performance_report:
        dashboard.check_report(options.performance_report)
    with ExitStack() as stack:
        if options.quiet:
            stack.enter_context(_dask_silent())
        client = stack.enter_context(connect(cluster, watcher))
        if kinds.has_dashboard(cluster):
            page = "captions" if show_captions_page(client, watcher.say) else "status"
            for line in dashboard.where(client, page):
                watcher.say(line)
        if options.performance_report:
            stack.enter_context(dashboard.reported(client, options.performance_report))
        yield client


@contextmanager
def _dask_silent() -> Iterator[None]:
    """Keep to itself what Dask logs, and its table of versions, of which cutline has its own.

    A worker that cutline sends away is no progress, and is told.
    """
    ours, known = logging.getLogger("cutline"), [*logging.root.manager.loggerDict]
    loggers = [logging.root, *map(logging.getLogger, known)]
    with ExitStack() as stack:
        for logger in loggers:
            stack.callback(logger.setLevel, logger.level)
            if logger.level:  # others have that of the one above
                logger.setLevel(logging.CRITICAL + 1)
        ours.setLevel(logging.WARNING)
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        yield
