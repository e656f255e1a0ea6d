"""One system call of a job made to fail, or the job killed at it, with strace."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from typing import NamedTuple

from world import prepare

from cutline import in_flight
from cutline.cli.endings import one_sentence

CALLS = (
    "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,"
    "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,fallocate,"
    "fsync,fdatasync,sync,syncfs,sync_file_range,msync,"
    "link,linkat,symlink,symlinkat,rename,renameat,renameat2,"
    "truncate,ftruncate,close,unlink,unlinkat,rmdir"
)
"""Every call that creates, writes, syncs, links, renames, truncates, closes or unlinks."""

LINE = re.compile(r"^(\d+) +(\w+)\(")


class Fault(NamedTuple):
    """What happens, and at which call: the `number`th of its name."""

    call: str
    number: int
    what: str

    def __str__(self):
        return f"{self.call} {self.number} {self.what}"


class Outcome(NamedTuple):
    """How a job ended: its exit status, or minus the signal; what it said; strace's lines."""

    code: int
    said: str
    lines: list


def run_job(root, fault=None, *, threads=False):
    """Run the job on a dataset in a process that is a copy of this one, so it starts at once.

    Whether it writes files in threads does not depend on the time that strace adds to each call.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.NamedTemporaryFile("r") as trace:
        job = os.fork()
        if not job:
            begin(root, said, ((0, 3),) if threads else ())
        os.waitpid(job, os.WUNTRACED)
        expression = ["-e", f"trace={fault.call if fault else CALLS}"]
        if fault:
            how = "signal=SIGKILL" if fault.what == "SIGKILL" else f"error={fault.what}"
            expression += ["-e", f"inject={fault.call}:{how}:when={fault.number}"]
        command = ["strace", "-f", "-y", "-o", trace.name, *expression, "-p", str(job)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
            while b"attached" not in (line := tracer.stderr.readline()):
                assert line, "strace does not attach"
            os.kill(job, signal.SIGCONT)
            _, status = os.waitpid(job, 0)
            tracer.stderr.read()
        said.seek(0)
        return Outcome(os.waitstatus_to_exitcode(status), said.read(), trace.read().splitlines())


def begin(root, said, threads):
    """Be the job: wait for strace, and never return."""
    in_flight.THREADS = threads
    os.dup2(said.fileno(), 2)
    os.kill(os.getpid(), signal.SIGSTOP)
    code = 70
    try:
        with one_sentence():
            prepare(root)
        code = 0
    except SystemExit as stop:
        code = stop.code
    except Exception:  # noqa: BLE001 - a traceback is what the test must see
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def touching(lines, root, *, threads=False):
    """Number the calls of each thread and name, and give those that touch what is below a folder.

    A file that is opened only to be read is left out, and so is the closing of a sidecar, or of a
    part in the threads in which the merge reads ahead.
    """
    numbers = Counter()
    for line in lines:
        match = LINE.match(line)
        if match:
            thread, call = match.groups()
            numbers[match.groups()] += 1
            read = call.startswith("open") and not re.search("O_CREAT|O_TMPFILE", line)
            first = lines[0].startswith(thread)
            closed = call == "close" and (".json>" in line or (not first and ".parquet>" in line))
            if root in line and not read and not closed:
                assert threads or first, "strace counts the calls of each thread"
                yield call, numbers[match.groups()]
