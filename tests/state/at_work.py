"""Commands as users type them, in this process, and their sudden death."""

import contextlib
import os
import re
import shlex
from typing import NamedTuple

import click
import dask
import msgspec
import orjson
import pyarrow as pa
from click.testing import CliRunner

from cutline.cli import commands, cutline
from cutline.cli.endings import one_sentence
from cutline.errors import CutlineError
from cutline.progress import show_progress
from cutline.recipe import whole_run
from cutline.store import disk
from cutline.store.lock import read_owner

CALLS = ("replace", "rename", "fsync", "link", "unlink", "rmdir", "mkdir")


class Killed(BaseException):
    """A process that is no more."""


class Ended(NamedTuple):
    """How a command ended: its status, what it printed as JSON, and what it said."""

    status: int
    summary: dict
    said: str

    @property
    def advice(self):
        """The commands that are advised, as words; to measure is a choice, and mends nothing."""
        found = [shlex.split(one) for one in re.findall(r"`cutline ([^`]*)`", self.said)]
        return [words for words in found if "--measure" not in words]


def command(*words):
    """Run a command without a cluster."""
    done = CliRunner().invoke(cutline, [*words], catch_exceptions=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return Ended(done.exit_code, orjson.loads(lines[-1]) if lines else {}, done.stderr)


def run_job(options, job, *arguments):
    """What `cutline.cli.jobs.run_job` does on a cluster."""
    with one_sentence():
        summary = job(*arguments, client=None, watcher=show_progress())
        if options.as_json:
            click.echo(orjson.dumps(summary.as_json()))
        if summary.shortfall:
            raise CutlineError(summary.shortfall)


@contextlib.contextmanager
def in_this_process(patch):
    """Let commands work here, in one thread, and without the report, which takes the longest."""
    patch.setattr(commands, "run_job", run_job)
    patch.setattr(whole_run, "write_report", lambda *_, **__: None)
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    with dask.config.set(scheduler="synchronous"):
        yield
    pa.set_cpu_count(threads)


def die_at(patch, after):
    """Let the process die at a call that changes names, and at each such call after it."""
    left = [after]

    def counted(real):
        def perhaps(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*arguments, **options)

        return perhaps

    for name in CALLS:
        patch.setattr(os, name, counted(getattr(os, name)))
    patch.setattr(disk, "rename", counted(disk.rename))


def bury(lock):
    """Let a lock be that of another process, which is gone."""
    if os.path.exists(lock):
        owner = msgspec.structs.replace(read_owner(lock), started=1)
        with open(lock, "wb") as file:
            file.write(msgspec.json.encode(owner))
