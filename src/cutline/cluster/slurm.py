"""A cluster of Slurm jobs, which end with the run."""

import math
import re
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from dask.utils import parse_bytes
from distributed import Client, Security

from cutline.cluster.dashboard import check_dashboard_address, scheduler_options
from cutline.cluster.local_cluster import Count
from cutline.cluster.starting import INSECURE, LOOPBACK, Started, class_of
from cutline.cluster.waiting import Waiting
from cutline.errors import UsageError
from cutline.progress import SILENT, Watcher

OURS: Final = {
    *("kind", "jobs", "minimum", "maximum", "dashboard_address"),
    *("tls", "insecure", "patience"),
}
"""Keys that are not handed on to dask-jobqueue."""

LAST_MINUTES: Final = 300
"""Seconds before the end of its job in which a worker has left, at the most."""

UNPROFILED: Final = "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False"
"""In Python 3.11 Dask's profiler can wait for ever: see `cutline.process.startup`."""

NO_JOB: Final = "Slurm has no job of this run"
"""Why no worker comes where none will: each job has ended, or was cancelled."""


class Slurm(Started, frozen=True, tag_field="kind", tag="slurm"):
    """A cluster of Slurm jobs, as dask-jobqueue's ``SLURMCluster`` submits them.

    What is not listed here is handed on to it by its own name.

    Attributes
    ----------
    cores, memory
        Of each job, as in ``cores: 16`` and ``memory: 32GiB``.
    processes
        Worker processes of each job; by default one for each core.
    jobs
        How many jobs to submit, or:
    minimum, maximum
        How many workers there may be while the cluster scales with its work.
    walltime
        Of each job, as Slurm writes it; workers leave before.
    interface
        The network that nodes and this host share, as in ``ib0``.
    dashboard_address
        Where the dashboard listens on this host, or ``none``.
    patience
        Seconds that the first job has to begin.
    """

    cores: Count
    memory: str
    processes: Count | None = None
    jobs: Count | None = None
    minimum: Annotated[int, msgspec.Meta(ge=0)] = 0
    maximum: Count | None = None
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None
    job_cpu: Count | None = None
    job_mem: str | None = None
    job_extra_directives: tuple[str, ...] = ()
    job_directives_skip: tuple[str, ...] = ()
    job_script_prologue: tuple[str, ...] = ()
    worker_extra_args: tuple[str, ...] = ()
    interface: str | None = None
    python: str | None = None
    log_directory: str | None = None
    local_directory: str | None = None
    shared_temp_directory: str | None = None
    death_timeout: Count | None = None
    scheduler_options: dict[str, Any] = msgspec.field(default_factory=dict)
    dashboard_address: str = "127.0.0.1:8787"
    patience: Annotated[float, msgspec.Meta(gt=0)] = 3600

    def __post_init__(self) -> None:
        """Refuse amounts that cannot be read, and what strangers could reach."""
        parse_bytes(self.memory)
        seconds_of(self.walltime)
        check_dashboard_address(self.dashboard_address)
        if (self.jobs is None) is (self.maximum is None):
            raise UsageError("A cluster of Slurm jobs needs either jobs, or maximum: give one.")
        if self.maximum is not None and self.minimum > self.maximum:
            raise UsageError("A cluster has at most maximum workers: let minimum be less.")
        at_home = self.interface == "lo" or self.scheduler_options.get("host") in LOOPBACK
        if not (self.tls or self.insecure or at_home):
            raise UsageError(f"The scheduler for Slurm's jobs {INSECURE}.")

    @contextmanager
    def open(self, watcher: Watcher = SILENT) -> Iterator[Client]:
        """Submit the jobs, yield a client of their workers, and cancel what is left of them.

        Raises
        ------
        UsageError
            Slurm is not here or refuses such a job, or dask-jobqueue is missing.
        CutlineError
            The cluster does not start, or no job begins.
        """
        start = class_of("dask_jobqueue", "SLURMCluster", "cutline[slurm]")
        name = f"cutline-{uuid.uuid4().hex[:8]}"
        waiting = Waiting(
            self.patience,
            lambda: queued(name),
            "see to the logs of its jobs, ask for less, or raise patience",
            hopeless=NO_JOB,
        )

        def make(security: Security) -> Any:  # noqa: ANN401
            return start(**self._options(name, security))

        with _jobs_ended(name), self.client(make, waiting, watcher, self._submit) as client:
            yield client

    def _submit(self, cluster: Any) -> None:  # noqa: ANN401 - of a package that may be missing
        check_job(cluster.job_script())
        if self.maximum is None:
            cluster.scale(jobs=self.jobs)
        else:
            cluster.adapt(minimum=self.minimum, maximum=self.maximum)

    def _options(self, name: str, security: Security) -> dict[str, Any]:
        fields = msgspec.structs.asdict(self).items()
        mine = {key: value for key, value in fields if value and key not in OURS}
        at_home = ("--dashboard-address", "127.0.0.1:0")
        own = scheduler_options(self.dashboard_address)
        return {
            **{key: [*value] if isinstance(value, tuple) else value for key, value in mine.items()},
            "processes": self.processes or self.cores,
            "job_name": name,
            "job_script_prologue": [UNPROFILED, *self.job_script_prologue],
            "worker_extra_args": [*at_home, *lifetime(self.walltime), *self.worker_extra_args],
            "scheduler_options": {**own, **self.scheduler_options},
            **({"security": security, "protocol": "tls://"} if self.tls else {}),
        }


def seconds_of(walltime: str) -> int:
    """Read a time as Slurm writes it: ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` or ``D-H:M:S``.

    Raises
    ------
    UsageError
        It is none of them.

    Examples
    --------
    >>> seconds_of("30"), seconds_of("01:00:00"), seconds_of("1-2")
    (1800, 3600, 93600)
    """
    if not re.fullmatch(r"(\d+-\d+(:\d+){0,2}|\d+(:\d+){0,2})", walltime, re.ASCII):
        raise UsageError(f"The walltime {walltime} is none: write it as in '04:00:00', quoted.")
    days, dash, rest = walltime.rpartition("-")
    figures = [int(figure) for figure in rest.split(":")]
    units = [3600, 60, 1] if dash or len(figures) == 3 else [60, 1]
    of_days = 86400 * int(days or 0)
    return of_days + sum(unit * figure for unit, figure in zip(units, figures, strict=False))


def lifetime(walltime: str) -> list[str]:
    """Return options with which a worker leaves in peace before its job ends.

    A worker hands on what it has, while one that is killed at the end of its time looks like one
    that a bad task has killed.
    """
    margin = min(LAST_MINUTES, math.ceil(seconds_of(walltime) / 10))
    spread = margin // 2
    return [
        *("--lifetime", f"{seconds_of(walltime) - margin}s"),
        *("--lifetime-stagger", f"{spread}s"),
    ]


def check_job(script: str) -> None:
    """Refuse a job that Slurm would refuse: it does not begin, and nobody is told.

    Raises
    ------
    UsageError
        Slurm is not here, or says why.
    """
    tried = _slurm("sbatch", "--test-only", text=script)
    if tried.returncode:
        reason = " ".join(tried.stderr.split()).removeprefix("sbatch: error: ")
        raise UsageError(f"Slurm refuses such a job ({reason}): correct the cluster file.")


def queued(name: str) -> str:
    """Return what the jobs of a name are waiting for, in Slurm's own words."""
    listed = _slurm("squeue", "--noheader", f"--name={name}", "--format=%T (%r)")
    if listed.returncode:
        return f"squeue does not answer ({' '.join(listed.stderr.split())})"
    states = Counter(line.replace(" (None)", "") for line in listed.stdout.splitlines())
    told = [
        f"{count} {'job is' if count == 1 else 'jobs are'} {of}" for of, count in states.items()
    ]
    return ", ".join(told) or NO_JOB


@contextmanager
def _jobs_ended(name: str) -> Iterator[None]:
    """Cancel whatever has the name, also a job that was being submitted at a Ctrl-C."""
    try:
        yield
    finally:
        if shutil.which("scancel"):
            _slurm("scancel", f"--name={name}")


def _slurm(command: str, *options: str, text: str = "") -> subprocess.CompletedProcess[str]:
    path = shutil.which(command)
    if path is None:
        raise UsageError(f"There is no {command} here: run this on a host with Slurm's commands.")
    # A group of its own: a Ctrl-C in the terminal must not end what cancels jobs.
    return subprocess.run(  # noqa: S603 - Slurm's own
        [path, *options],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        process_group=0,
    )
