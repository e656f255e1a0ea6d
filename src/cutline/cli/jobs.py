"""How a command runs a job: on which cluster, and what it tells."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final

import click
import msgspec
import orjson
from distributed import Client
from msgspec import Meta

from cutline.cli.endings import one_sentence, standard_output
from cutline.cluster import Address, Cluster, Local, connect, dashboard, read_cluster
from cutline.errors import CutlineError, UsageError
from cutline.process import stoppable
from cutline.progress import SILENT, Summary, Watcher, on_stderr

# None has to mean that it was not typed, so the default is shown by hand.
_LISTENS: Final = (
    "Where the dashboard of a local cluster listens, or none."
    f"  [default: {Local().dashboard_address}]"
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
    workers
        Worker processes of a local cluster.
    """

    cluster_file: Annotated[str | None, Meta(extra={"flag": "--cluster", "metavar": "FILE"})] = None
    scheduler: Annotated[str | None, Meta(extra={"metavar": "ADDRESS"})] = None
    workers: Annotated[int | None, Meta(ge=1)] = None
    dashboard_address: Annotated[
        str | None, Meta(description=_LISTENS, extra={"metavar": "HOST:PORT"})
    ] = None

    def cluster(self) -> Cluster:
        """Return the cluster that the options name, and a local one if they name none.

        Raises
        ------
        UsageError
            They contradict each other, or the cluster file cannot be used.
        """
        if self.cluster_file and self.scheduler:
            raise UsageError("Both --cluster and --scheduler name a cluster: give one of them.")
        named: Cluster = Address(self.scheduler) if self.scheduler else Local()
        if self.cluster_file:
            named = read_cluster(self.cluster_file)
        typed = {"workers": self.workers, "dashboard_address": self.dashboard_address}
        changes = {name: value for name, value in typed.items() if value is not None}
        if isinstance(named, Local):
            return msgspec.structs.replace(named, **changes)
        if changes:
            options = " and ".join("--" + name.replace("_", "-") for name in changes)
            raise UsageError(f"The scheduler runs already: leave {options} out.")
        return named


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Where a job runs, and what it tells.

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


def run_job(options: JobOptions, job: Callable[..., Summary], *arguments: object) -> None:
    """Run a job with these arguments on the cluster of the options, and print what it came to."""
    watcher = SILENT if options.quiet else on_stderr()
    with one_sentence(), stoppable():
        with _client(options, watcher) as client:
            summary = job(*arguments, client=client, watcher=watcher)
        watcher.report(summary)
        if options.as_json:
            with standard_output():
                click.echo(orjson.dumps(summary.as_json()))
        if summary.shortfall:
            raise CutlineError(summary.shortfall)


@contextmanager
def _client(options: JobOptions, watcher: Watcher) -> Iterator[Client]:
    cluster = options.where.cluster()
    if options.performance_report:
        dashboard.check_report(options.performance_report)
    with ExitStack() as stack:
        client = stack.enter_context(connect(cluster))
        if cluster.has_dashboard:
            for line in dashboard.where(client):
                watcher.say(line)
        if options.performance_report:
            stack.enter_context(dashboard.reported(client, options.performance_report))
        yield client
