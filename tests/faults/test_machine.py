"""Any sequence of runs, deaths and changes, against a plain model of what must be there.

The disk is a small tmpfs where the test may mount one (as root). Elsewhere, a write that would take
the dataset over a limit is refused by the test itself, in place of the system.
"""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import tempfile
import threading

import dask
import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import cutline
from cutline.errors import CutlineError
from cutline.store import table_files
from cutline.store.lock import read_owner
from oracle import compile_folder
from sidecars import record, write_sidecars

NAMES = [f"{number:02}" for number in range(12)] + ["sub/00", "sub/01"]
CAPTIONS = st.sampled_from(["Picture aa.", "Picture bb.", "Picture cc.", "Longer than these.", ""])
"""Often of the same size, also as at the start; or none, which is a reject."""
FIELDS = st.sampled_from([("short_caption",), ("long_caption", "short_caption")])


class Killed(BaseException):
    """A process that is no more."""


class Runs(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        dask.config.set(scheduler="synchronous")
        self.root = tempfile.mkdtemp()
        self.mounted = not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.root],
            capture_output=True, check=False,
        ).returncode  # fmt: skip
        self.data, self.table = f"{self.root}/data", f"{self.root}/x.parquet"
        self.options = cutline.CompileOptions(partition_size=4, max_rejects=1)
        self.clock = 10**9
        self.tables = {None}
        self.captions = {}
        self.full = False
        write_sidecars(self.data, {})
        for name in NAMES[:10]:
            self.write(name, f"Picture {name}.")

    def teardown(self):
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.root], check=True)
        shutil.rmtree(self.root)

    # What somebody does to the sidecars

    def write(self, name, caption, **fields):
        """Write a sidecar; its time goes on even where the clock of the file system does not."""
        fields = {"image_name": f"{os.path.basename(name)}.png", "short_caption": caption} | fields
        write_sidecars(self.data, {f"{name}.json": record(**fields)})
        self.clock += 1
        os.utime(f"{self.data}/{name}.json", ns=(self.clock, self.clock))

    @precondition(lambda self: not self.full)
    @rule(name=st.sampled_from(NAMES), caption=CAPTIONS)
    def change_or_add(self, name, caption):
        self.write(name, caption)

    @precondition(lambda self: not self.full)
    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES[:12]))
    def name_it_as_another(self, name, other):
        self.write(name, f"Twice {other}.", image_name=f"{other}.jpg")

    @rule(name=st.sampled_from(NAMES[2:]))
    def remove(self, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.data}/{name}.json")

    @rule(fields=FIELDS, size=st.sampled_from([3, 4]), fresh=st.booleans())
    def change_options(self, fields, size, fresh):
        rules = cutline.Rules(caption_fields=fields)
        self.options = dataclasses.replace(
            self.options, rules=rules, partition_size=size, fresh=fresh
        )

    # Runs

    def work(self):
        compiled = cutline.compile_table(self.data, self.table, self.options)
        return compiled, cutline.write_captions(self.table, self.data, self.options)

    def expected(self):
        fields = self.options.rules.caption_fields or ("short_caption",)
        return compile_folder(self.data, caption_fields=fields)

    def begin(self):
        """Note what a run may leave, whatever becomes of it."""
        rows, _ = self.expected()
        self.tables.add(tuple(rows))
        for _, _, caption, filename in rows:
            path = os.path.splitext(filename)[0] + ".txt"
            self.captions.setdefault(path, {None}).add(caption)

    def end(self, summaries):
        """After a run that ends well there is what must be there, and nothing else of ours."""
        compiled, captions = summaries
        rows, rejects = self.expected()
        assert self.found_table() == tuple(rows)
        ledger = pq.read_table(f"{self.root}/x.rejects.parquet").to_pylist()
        assert [(one["source"], one["reason"], one["filename"]) for one in ledger] == rejects
        assert compiled.sidecars == len(rows) + len(rejects)
        assert captions.written + captions.replaced + captions.unchanged == len(rows)
        for _, _, caption, filename in rows:
            path = os.path.splitext(filename)[0] + ".txt"
            assert self.found_caption(path) == caption
            self.captions[path] = {caption}
        self.tables = {tuple(rows)}
        parts = {table_files.TableFiles.part_name(index) for index in range(compiled.parts)}
        assert set(os.listdir(f"{self.root}/x.parts")) == parts
        assert pq.read_table(f"{self.root}/x.parts").equals(pq.read_table(self.table))
        own = {"merged", "plan.parquet", "rejects", "timings"}
        assert set(os.listdir(f"{self.root}/x.cutline")) == own
        if os.path.exists(f"{self.data}/.cutline"):
            assert os.listdir(f"{self.data}/.cutline") == ["captions"]

    @precondition(lambda self: not self.full)
    @rule(changes=st.dictionaries(st.sampled_from(NAMES), CAPTIONS, max_size=2))
    def change_and_run(self, changes):
        for name, caption in changes.items():
            self.write(name, caption)
        self.begin()
        self.end(self.work())

    @precondition(lambda self: not self.full)
    @rule(after=st.integers(0, 25), call=st.sampled_from(["replace", "fsync", "link", "unlink"]))
    def run_and_die(self, after, call):
        """Die at some call: the lock stays, of a process that is no more, and so do attempts."""
        self.begin()
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, call, after)
            try:
                summaries = self.work()
            except Killed:
                summaries = None
        if summaries:
            self.end(summaries)
        else:
            self.bury(f"{self.root}/x.cutline/lock")
            self.bury(f"{self.data}/.cutline/lock")

    @staticmethod
    def bury(lock):
        """Let a lock be that of another process, which is gone."""
        if os.path.exists(lock):
            owner = msgspec.structs.replace(read_owner(lock), started=1)
            with open(lock, "wb") as file:
                file.write(msgspec.json.encode(owner))

    @precondition(lambda self: not self.full)
    @rule()
    def run_twice_at_once(self):
        self.begin()
        ended, refused = [], []

        def one():
            try:
                ended.append(self.work())
            except CutlineError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ended
        assert all(f"process {os.getpid()} on" in said or "just begun" in said for said in refused)
        self.end(ended[-1])

    # The disk

    @precondition(lambda self: self.mounted and not self.full)
    @rule(pages=st.integers(0, 12))
    def fill_the_disk_and_run(self, pages):
        self.begin()
        free = os.statvfs(self.root).f_bavail - pages
        with open(f"{self.root}/filler", "wb") as filler:
            filler.write(bytes(max(0, free) * os.statvfs(self.root).f_frsize))
        self.full = True
        said = ""
        try:
            self.end(self.work())
        except CutlineError as error:
            said = str(error)
        assert not said or "make room" in said

    @precondition(lambda self: self.full)
    @rule()
    def free_the_disk(self):
        os.unlink(f"{self.root}/filler")
        self.full = False

    # What holds always

    def found_table(self):
        if not os.path.exists(self.table):
            return None
        return tuple(tuple(row.values()) for row in pq.read_table(self.table).to_pylist())

    def found_caption(self, path):
        with contextlib.suppress(FileNotFoundError), open(f"{self.data}/{path}") as file:
            return file.read()

    @invariant()
    def the_table_is_one_that_a_run_was_to_make_whole(self):
        assert self.found_table() in self.tables

    @invariant()
    def a_caption_file_is_whole(self):
        for path, may_be in self.captions.items():
            assert self.found_caption(path) in may_be

    @invariant()
    def nothing_else_is_among_the_data(self):
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = os.path.relpath(f"{folder}/{name}", self.data)
                assert path.endswith(".json") or path in self.captions or ".cutline" in path


def die_at(patch, call, after):
    """Let the process die at a call, and each call after it: nothing tidies up."""
    left = [after]

    def counted(name):
        real = getattr(os, name)

        def perhaps(*arguments, **options):
            left[0] -= name == call
            if left[0] < 0:
                raise Killed
            return real(*arguments, **options)

        return perhaps

    for name in ("replace", "rename", "fsync", "link", "unlink", "rmdir", "mkdir"):
        patch.setattr(os, name, counted(name))


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=int(os.environ.get("CUTLINE_EXAMPLES", "60")),
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
