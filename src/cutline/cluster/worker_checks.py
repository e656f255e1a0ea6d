"""Whether the processes of a cluster can do a job, and would write the same bytes.

A job opens `checked` around its stages. All workers are asked in one call, and each one that comes
later is checked by its first task. A worker that is not fit is told by name and host with the
reason, and sent away; the others go on.
"""

import asyncio
import logging
import os
import pickle
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from socket import gethostname
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from distributed import Client, get_worker

from cutline.cluster import compared_files, worker_terms
from cutline.errors import CutlineError, said
from cutline.progress import SILENT, Watcher
from cutline.sources import Origin, shard_names
from cutline.store import TableStore, Workspace, disk

MAKERS: Final = ("plan", "record", "sources", "store", "table")
"""The packages of cutline whose code decides the bytes of a part."""

LOOKED_AT: Final = 8
"""Files of a folder that are compared: an older copy differs in the time of change of each."""

ANSWERS_WITHIN: Final = 100
"""Seconds that a worker has to look at its folders, longer than entries may lag."""

WITNESS: Final = "witness"
"""The name of the file, among the attempts of a run, that workers look for: no kill leaves it."""


def check_scheduler(client: Client) -> None:
    """Refuse a scheduler that cannot read the tasks of a job.

    Raises
    ------
    CutlineError
        It lacks cutline.
    """
    # A function of the standard library, which every scheduler has.
    if client.run_on_scheduler(find_spec, "cutline") is None:
        raise CutlineError(
            "The scheduler lacks cutline, and has to read its tasks: install it there."
        )


def writes(folder: str, workspace: Workspace, store: TableStore) -> worker_terms.Written:
    """Return that workers write below a folder, to a store of the run that holds its workspace."""
    return worker_terms.Written(folder, store, f"{workspace.attempts}/{WITNESS}")


def reads(folder: str, paths: Iterable[str]) -> worker_terms.Read:
    """Return that workers read a folder, such as these files in it."""
    marks = ((path, worker_terms.mark_of(path)) for path in paths)
    return worker_terms.Read(folder, tuple((path, mark) for path, mark in marks if mark))


def reads_table(table: str) -> worker_terms.Read:
    """Return that workers read a table, by its path or URL."""
    path = disk.absolute(table.removeprefix("file://"))  # a worker may be in another folder
    return reads(os.path.dirname(path), [path])


def reads_folder(folder: str, *, sidecars: bool = False) -> worker_terms.Read:
    """Return that workers read the files of a local folder, or only its sidecars.

    Some of them are looked at, others each time.
    """
    return reads(folder, compared_files.some_files(folder, LOOKED_AT, sidecars=sidecars))


def reads_source(origin: Origin) -> worker_terms.Read:
    """Return that workers read a source; behind a URL there is nothing to compare."""
    root = str(origin).removeprefix("file://")
    if "://" in root:
        return worker_terms.Read(root, ())
    if isinstance(origin, shard_names.ShardSet):
        names = compared_files.some_of(origin.names, LOOKED_AT)
        return reads(root, [f"{root}/{name}" for name in names])
    return reads_folder(root, sidecars=True)


def makers() -> dict[str, str]:
    """Return the code and the versions that decide the bytes of a part."""
    return {"code": worker_terms.code_digest(MAKERS), **worker_terms.versions()}


Shared: TypeAlias = worker_terms.Written | worker_terms.Read
"""A folder that each worker must see as this process does."""

Answer: TypeAlias = tuple[str, dict[str, str], str]
"""What a worker answers: its host, the versions of packages, and what is wrong with it."""


@dataclass(slots=True)
class Checks:
    """The checks of one run on one cluster.

    Attributes
    ----------
    refused
        The addresses of the workers that were sent away.
    refused_before
        How many of them were before the first task.
    hosts
        The names of hosts, by their addresses.
    """

    client: Client
    watcher: Watcher
    terms: worker_terms.Terms
    refused: set[str] = field(default_factory=set)
    refused_before: int = 0
    hosts: dict[str, str] = field(default_factory=dict)
    _excused: dict[int, int] = field(default_factory=dict)

    def look(self) -> None:
        """Ask all workers at once; tell of those that are not fit, and send them away.

        Raises
        ------
        CutlineError
            No worker is fit.
        """
        answers = self.client.run(_asking(self.terms), on_error="return")
        for address, answer in answers.items():
            if not isinstance(answer, Exception):
                self.hosts[str(urlsplit(address).hostname)] = answer[0]
        refusals = {address: _refusal(address, answer) for address, answer in answers.items()}
        self._send_away({address: words for address, words in refusals.items() if words})

    def blame(self, faults: Mapping[str, str]) -> None:
        """Send workers away for what has come of their tasks.

        Parameters
        ----------
        faults
            What is wrong with a worker, by its address, in words that follow its name.

        Raises
        ------
        CutlineError
            No other worker is there.
        """
        hosts = self.client.run(gethostname, workers=[*faults], on_error="return")
        self._send_away(
            {
                address: f"{hosts[address]} {fault}"
                for address, fault in faults.items()
                if isinstance(hosts.get(address), str)
            }
        )

    def _send_away(self, refusals: Mapping[str, str]) -> None:
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        unfit = {
            address: f"The worker {workers[address]['name']} on {words}"
            for address, words in refusals.items()
            if address in workers
        }
        if not unfit:
            return
        if unfit.keys() >= workers.keys():
            first, *more = unfit.values()
            others = f"; {len(more)} more workers are not fit either" if more else ""
            raise CutlineError(f"{first}{others}.")
        # Whoever does not want to hear of progress has to hear of this.
        say = logging.getLogger("cutline").warning if self.watcher is SILENT else self.watcher.say
        for line in unfit.values():
            say(f"{line}. It is sent away, and others do its work.")
        self.refused |= unfit.keys()
        self.client.retire_workers(list(unfit))

    def excuses(self, error: Exception, task: int) -> bool:
        """Return whether a task that has failed may be tried again, for its worker is at fault.

        Raises
        ------
        CutlineError
            No worker is fit.
        """
        if isinstance(error, worker_terms.UnfitError):
            if error.worker not in self.refused:
                self._send_away({error.worker: error.fault})
            return True
        before = self._excused.get(task, self.refused_before)
        self.look()
        self._excused[task] = len(self.refused)
        return len(self.refused) > before


_CURRENT: ContextVar[Checks | None] = ContextVar("the checks of the run at work", default=None)


def current() -> Checks | None:
    """Return the checks of the run that this thread is at; None without a cluster."""
    return _CURRENT.get()


@contextmanager
def checked(client: Client | None, watcher: Watcher, *folders: Shared) -> Iterator[None]:
    """Let only workers work in the block that are fit for it.

    Parameters
    ----------
    client
        The cluster; without one there is nothing to check.
    watcher
        Told of each worker that is not fit.
    folders
        What each worker must see as this process does.

    Raises
    ------
    CutlineError
        No worker is fit.
    """
    if client is None:
        yield
        return
    terms = worker_terms.Terms(
        uuid.uuid4().hex, worker_terms.versions(), worker_terms.code_digest(), folders
    )
    with ExitStack() as stack:
        for folder in folders:
            if isinstance(folder, worker_terms.Written):
                stack.enter_context(_token(folder, terms.run))
        checks = Checks(client, watcher, terms)
        checks.look()
        checks.refused_before = len(checks.refused)
        stack.callback(_CURRENT.reset, _CURRENT.set(checks))
        yield


@contextmanager
def _token(folder: worker_terms.Written, run: str) -> Iterator[None]:
    with folder.store.publish(folder.name) as file:
        file.write(run.encode())
    try:
        yield
    finally:
        folder.store.remove(folder.name)


def this_worker() -> str:
    """Return the address of the worker whose task this is; empty without a cluster."""
    try:
        address: str = get_worker().address
    except ValueError:
        return ""
    return address


def _asking(terms: worker_terms.Terms) -> Callable[[], Awaitable[Answer]]:
    """Return the function that asks a worker."""
    wanted, asked = worker_terms.versions(), pickle.dumps(terms)

    # Inside, because a function of a module is sent by its name, and some worker may lack cutline.
    async def answer() -> Answer:
        found = {name: [*metadata.distributions(name=name)] for name in wanted}
        versions = {name: of[0].version for name, of in found.items() if of}
        fault = ""
        if versions == wanted:
            # In a thread: a folder that does not answer must not keep a worker from the scheduler.
            known = pickle.loads(asked)  # noqa: S301 - from the client, as every task is
            fault = await asyncio.wait_for(asyncio.to_thread(known.look), ANSWERS_WITHIN)
        return gethostname(), versions, fault

    return answer


def _refusal(address: str, answer: Answer | Exception) -> str:
    """Return what is told of a worker after its name; empty if it is fit, or does not answer."""
    if isinstance(answer, OSError) and not isinstance(answer, TimeoutError):
        return ""  # it is gone, and if it comes back its first task asks
    host = urlsplit(address).hostname
    if isinstance(answer, TimeoutError):
        return f"{host} has folders that do not answer: see to what is mounted there"
    if isinstance(answer, Exception):
        return (
            f"{host} cannot tell its versions ({said(answer)}): install the Python and the packages"
            " of this process there"
        )
    host, there, fault = answer
    fault = worker_terms.other_version(worker_terms.versions(), there) or fault
    return fault and f"{host} {fault}"
