"""Any sequence of what happens to a dataset, and of commands, against a plain account of it.

`CUTLINE_EXAMPLES` says how many sequences are tried, `CUTLINE_SECONDS` after how many seconds no
more of them are begun, and `CUTLINE_SEED` with which one to begin.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time

import dask
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cutline.cli import cutline
from at_work import Killed, bury, command, die_at, in_this_process
from plain_dataset import Dataset, File, Hole, Shard, compiled, picture
from trees import tree

ROOM = "/dev/shm" if os.path.isdir("/dev/shm") else None
ALL = "--max-rejects=1"

EXAMPLES = int(os.environ.get("CUTLINE_EXAMPLES", "20"))
SECONDS = float(os.environ.get("CUTLINE_SECONDS", "inf"))
AT_ONCE, STEPS = 25, 12
"""Examples of one seed, and rules of one example."""

CAN = any("--overwrite" in option.opts for option in cutline.commands["run"].params)


SHARDS = ["p-0.tar", "p-1.tar", "p-2.tar", "data/p-3.tar"]
STEMS = ["a", "b", "c", "d", "s/e"]
SIZES = [(8, 6), (6, 8)]

KINDS = st.sampled_from(["good"] * 6 + ["no_width", "no_caption", "torn"])
SAMPLES = st.lists(st.tuples(st.sampled_from(STEMS), KINDS), min_size=1, max_size=4)
WHICH = st.integers(0, 10**6)


class States(RuleBasedStateMachine):
    """A dataset `ROOT` and what it must be, `want`; `undone` is where each file may be instead."""

    def __init__(self):
        super().__init__()
        self.above = tempfile.mkdtemp(dir=ROOM)
        self.root = f"{self.above}/set"
        self.data = f"{self.root}/data"
        self.table = f"{self.root}/set.parquet"
        os.makedirs(self.data)
        self.want = Dataset()
        self.rejects = []
        self.serial = 0
        self.stack = contextlib.ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.stack.enter_context(in_this_process(patch))
        self.stack.enter_context(dask.config.set(scheduler="synchronous"))

    def teardown(self):
        self.stack.close()
        shutil.rmtree(self.above)

    # What is in files: nothing is written twice

    def new(self):
        self.serial += 1
        return self.serial

    def image(self, size, longer=""):
        return picture(*size) + b"%06d" % self.new() + longer.encode()

    def sidecar(self, path, size=SIZES[0], longer="", **fields):
        record = {
            "image_name": f"{os.path.basename(path)}.png",
            "width": size[0],
            "height": size[1],
            "short_caption": f"Story {self.new():06}{longer}.",
        }
        kept = {name: value for name, value in (record | fields).items() if value is not ...}
        return json.dumps(kept).encode()

    def members(self, samples, text=False, longer=""):
        """The members of some samples, each a sidecar and an image, and a caption file if so."""
        members = {}
        for stem, kind in samples:
            fields = {"no_width": {"width": ...}, "no_caption": {"short_caption": ""}}.get(kind, {})
            sidecar = self.sidecar(stem, longer=longer, **fields)
            members[f"{stem}.json"] = sidecar[:-9] if kind == "torn" else sidecar
            members[f"{stem}.png"] = self.image(SIZES[0], longer)
            if text:
                members[f"{stem}.txt"] = b"Text %06d" % self.new()
        return list(members.items())

    # Shards

    def write_shard(self, name, members, hole=None):
        version = self.new()
        shard = Shard(members, version, hole)
        with open(f"{self.root}/{name}", "wb") as file:
            file.write(shard.archive())
        # The clock of the file system may stand still meanwhile.
        os.utime(f"{self.root}/{name}", ns=(version * 10**9 + 1, version * 10**9 + 1))
        self.want.shards[name] = shard

    def there(self, which):
        names = sorted(self.want.shards)
        assume(names)
        return names[which % len(names)]

    @initialize(samples=SAMPLES, text=st.booleans())
    def begin(self, samples, text):
        self.write_shard("p-1.tar", self.members(samples, text))

    @rule(name=st.sampled_from(SHARDS), samples=SAMPLES, text=st.booleans())
    def a_shard_appears(self, name, samples, text):
        self.write_shard(name, self.members(samples, text))

    @rule(
        name=st.sampled_from(SHARDS),
        samples=SAMPLES,
        share=st.floats(0.05, 0.99),
        tail=st.booleans(),
    )
    def a_shard_appears_unfinished(self, name, samples, share, tail):
        members = self.members(samples)
        length = len(Shard(members, 0).archive())
        self.write_shard(name, members, Hole(int(share * length) or 1, None, tail))

    @rule(name=st.sampled_from(SHARDS), samples=SAMPLES, first=WHICH, more=WHICH)
    def a_shard_appears_with_a_hole(self, name, samples, first, more):
        """Zeros from within one member to within the header of a later one or behind it."""
        members = self.members(samples)
        places = Shard(members, 0).places()
        first %= len(places) - 1
        begin, end = places[first]
        start = begin + 513 + first % (end - begin - 513)
        least, last = places[first + 1][0] + 512, places[-1][0]
        assume(least <= last)
        self.write_shard(name, members, Hole(start, least + more % (last - least + 1)))

    @rule(which=WHICH, share=st.floats(0.05, 0.99), whole=st.booleans())
    def a_shard_grows(self, which, share, whole):
        name = self.there(which)
        shard = self.want.shards[name]
        assume(shard.hole)
        hole = shard.hole
        if not whole and hole.stop is None:
            left = len(Shard(shard.members, 0).archive()) - hole.start
            hole = hole._replace(start=hole.start + int(share * left))
        self.write_shard(name, shard.members, None if whole else hole)

    @rule(which=WHICH, longer=st.sampled_from(["", "", " and on"]), drop=st.booleans())
    def a_shard_is_corrected(self, which, longer, drop):
        """Other contents, of the same lengths or of others; perhaps without its first member."""
        name = self.there(which)
        corrected = []
        for path, data in self.want.shards[name].members[drop:]:
            if path.endswith(".json"):
                corrected.append((path, self.sidecar(path[:-5], longer=longer)))
            elif path.endswith(".png"):
                corrected.append((path, self.image(SIZES[0], longer)))
            else:
                corrected.append((path, b"Text %06d" % self.new()))
        assume(corrected)
        self.write_shard(name, corrected)

    @rule(which=WHICH, name=st.sampled_from(SHARDS))
    def a_shard_is_renamed(self, which, name):
        before = self.there(which)
        assume(name not in self.want.shards)
        os.rename(f"{self.root}/{before}", f"{self.root}/{name}")
        self.want.shards[name] = self.want.shards.pop(before)
        self.want.shards[name].version = self.new()

    @rule(which=WHICH)
    def a_shard_is_removed(self, which):
        name = self.there(which)
        os.unlink(f"{self.root}/{name}")
        del self.want.shards[name]

    # What users do to files

    def user_writes(self, path, data, in_place=True):
        place = f"{self.data}/{path}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        attempt = place if in_place else f"{place}~"
        with open(attempt, "wb") as file:
            file.write(data)
        os.replace(attempt, place)
        self.want.files[path] = File(data, "user")

    def some_file(self, which, *endings):
        paths = sorted(path for path in self.want.files if path.endswith(endings or ("",)))
        assume(paths)
        return paths[which % len(paths)]

    @rule(which=WHICH, longer=st.sampled_from(["", " by hand"]), in_place=st.booleans())
    def a_user_edits_a_caption(self, which, longer, in_place):
        path = self.some_file(which, ".txt")
        self.user_writes(path, b"Story %06d%s." % (self.new(), longer.encode()), in_place)

    @rule(which=WHICH, longer=st.sampled_from(["", " by hand"]), in_place=st.booleans())
    def a_user_edits_a_sidecar(self, which, longer, in_place):
        path = self.some_file(which, ".json")
        self.user_writes(path, self.sidecar(path[:-5], longer=longer), in_place)

    @rule(which=WHICH, size=st.sampled_from(SIZES), longer=st.sampled_from(["", "longer"]))
    def a_user_edits_an_image(self, which, size, longer):
        path = self.some_file(which, ".png")
        self.user_writes(path, self.image(size, longer))

    @rule(which=WHICH)
    def a_user_touches_a_file(self, which):
        path = self.some_file(which)
        os.utime(f"{self.data}/{path}")
        self.want.files[path] = self.want.files[path]._replace(by="user")

    @rule(which=WHICH)
    def a_user_removes_a_file(self, which):
        path = self.some_file(which)
        os.unlink(f"{self.data}/{path}")
        del self.want.files[path]

    @rule(stem=st.sampled_from([*STEMS, "u", "t/v"]), parts=st.sets(st.sampled_from("jpt")))
    def a_user_adds_files(self, stem, parts):
        """A sample of his own, an image alone, a caption file before the first run, and so on."""
        if "j" in parts:
            self.user_writes(f"{stem}.json", self.sidecar(stem))
        if "p" in parts:
            self.user_writes(f"{stem}.png", self.image(SIZES[0]))
        if "t" in parts:
            self.user_writes(f"{stem}.txt", b"Story %06d." % self.new())

    @rule(which=WHICH)
    def a_user_adds_a_second_sidecar_of_an_image(self, which):
        path = self.some_file(which, ".png")
        twice = f"{os.path.dirname(path)}/twice".lstrip("/")
        name = os.path.basename(path)
        self.user_writes(f"{twice}.json", self.sidecar(twice, image_name=name))

    # Commands, and what they must come to

    def extracted(self, want, overwrite=False):
        want.extract(overwrite)
        return want

    def compile(self):
        """Note what the table must be, from what is in the folder."""
        rows, self.rejects = compiled(self.data)
        return rows

    def check_files(self):
        assert self.found() == {path: file.data for path, file in self.want.files.items()}

    def found(self):
        return {
            path: data
            for path, data in tree(self.data).items()
            if data is not None and not path.startswith(".cutline/") and not path.endswith(".tar")
        }

    def check_table(self, lost=(), damaged=frozenset()):
        table = pq.read_table(self.table)
        assert rows_of(table) == self.want.rows
        assert rows_of(ds.dataset(f"{self.root}/set.parts").to_table()) == self.want.rows
        lines = pq.read_table(f"{self.root}/set.rejects.parquet").to_pylist()
        lines = [(line["source"], line["reason"], line["filename"]) for line in lines]
        told = [line for line in lines if line[1] != "damaged_shard"]
        assert told == [*self.rejects, *lost]
        assert {line[0] for line in lines if line[1] == "damaged_shard"} == set(damaged)

    @rule(overwrite=st.booleans())
    def run(self, overwrite):
        self.work(overwrite)

    def work(self, overwrite=False):
        """Run, and check what is there then."""
        overwrite = overwrite and CAN
        ended = command("run", self.root, ALL, "--json", *["--overwrite"] * overwrite)
        self.want.extract(overwrite)
        had_rows = bool(self.want.rows)
        rows = self.compile()
        if not rows and (had_rows or not self.rejects):  # nothing to do, or the table stays
            assert ended.status
            self.check_files()
            return ended
        self.want.rows = rows
        edited = self.want.captions(overwrite)
        self.check_files()
        lost = self.want.lost()
        self.check_table(lost, self.want.damaged())
        missing = list(self.want.missing(self.rejects))
        assert (ended.status == 0) == (not missing), (missing, ended.said)
        assert ended.summary["compile"]["rows"] == len(rows)
        assert ended.summary["compile"]["sidecars"] == len(rows) + len(self.rejects) + len(lost)
        captions = ended.summary["captions"]
        assert captions.get("edited", 0) == edited
        kinds = captions.keys() & {"written", "replaced", "unchanged", "edited"}
        assert sum(captions[kind] for kind in kinds) == len(rows)
        for folder in (f"{self.root}/set.cutline", f"{self.data}/.cutline"):
            assert not os.path.exists(f"{folder}/lock")
            assert not os.path.exists(f"{folder}/attempts")
        return ended

    @rule()
    def run_twice(self):
        self.work()
        ended = self.work()
        if ended.summary:
            assert ended.summary["extract"]["files"] == 0 if self.want.shards else True
            assert ended.summary["captions"]["written"] == 0
            assert ended.summary["captions"]["replaced"] == 0
            assert ended.summary["compile"]["reused_parts"] == ended.summary["compile"]["parts"]

    @rule(overwrite=st.booleans())
    def extract(self, overwrite):
        """Unpack the shards of the upper folder alone."""
        shards = self.want.shards
        self.want.shards = {name: one for name, one in shards.items() if "/" not in name}
        damaged = bool(self.want.damaged())
        if self.want.shards:
            ended = command("extract", self.root, self.data, ALL, *["--overwrite"] * overwrite)
            assert ended.status == damaged, ended.said
            self.want.extract(overwrite)
        self.want.shards = shards
        self.check_files()

    @rule()
    def compile_alone(self):
        flat = any("/" not in path and path.endswith(".json") for path in self.want.files)
        assume(flat or "data/p-3.tar" not in self.want.shards)  # it would be read in place
        ended = command("compile", self.data, self.table, ALL)
        had_rows = bool(self.want.rows)
        rows = self.compile()
        if rows or (self.rejects and not had_rows):
            self.want.rows = rows
            self.check_table()
        assert (ended.status == 0) == bool(rows)

    @precondition(lambda self: self.want.rows)
    @rule(overwrite=st.booleans())
    def captions(self, overwrite):
        overwrite = overwrite and CAN
        ended = command("captions", self.table, self.data, *["--overwrite"] * overwrite)
        assert ended.status == 0
        self.want.captions(overwrite)
        self.check_files()

    # Orphans

    def moved(self, folder, before):
        """Note what was moved, which must be no part of a sample, and nowhere lost."""
        now, away = self.found(), tree(folder) if os.path.isdir(folder) else {}
        rows = self.want.rows
        kept = {filename for *_, filename in rows}
        kept |= {os.path.splitext(filename)[0] + ".txt" for filename in kept}
        for path, data in before.items():
            if path in now:
                assert now[path] == data
                continue
            assert away[path] == data
            assert path not in kept
            self.want.moved(path)
        assert now.keys() <= before.keys()

    @precondition(lambda self: self.want.rows)
    @rule()
    def move_orphans(self):
        before, folder = self.found(), f"{self.above}/orphans {self.new()}"
        ended = command("verify", self.table, self.data, "--orphans", f"move={folder}")
        if ended.status == 2:
            assert self.want.is_elsewhere()
        self.moved(folder, before)

    @rule(limit=st.just(6))
    def follow_the_advice(self, limit):
        """Who does what a run advises and runs it again gets a 0, unless something is missing."""
        assume(self.want.shards or self.want.files)
        for _ in range(limit):
            ended = self.work()
            if not ended.status or not ended.advice or not ended.summary:
                break
            self.obey(ended.advice)
        missing = list(self.want.missing(self.rejects)) if self.want.rows else ["rows"]
        by_hand = [line for line in missing if not line.endswith(("no row", "no caption file"))]
        assert ended.status == 0 or by_hand or self.want.is_elsewhere(), ended.said

    def obey(self, words):
        before = self.found()
        folder = next((w.removeprefix("move=") for w in words if w.startswith("move=")), None)
        if words[0] == "compile":
            words = [*words, ALL]
        ended = command(*words)
        assert ended.status in (0, 1), ended.said
        if folder:
            self.moved(folder, before)
        elif words[0] == "captions":
            self.want.captions()
        elif words[0] == "compile":
            self.want.rows = self.compile()
        self.check_files()

    # Death

    @rule(after=st.integers(0, 60))
    def run_and_die(self, after):
        """Each file is as it was or as it will be; what a user has written is there."""
        states = [self.want.copy()]
        dead = False
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, after)
            try:
                command("run", self.root, ALL)
            except Killed:
                dead = True
        bury(f"{self.root}/set.cutline/lock")
        bury(f"{self.data}/.cutline/lock")
        if dead:
            self.take_stock(states)
        else:
            self.want.extract()
            self.settle()

    def settle(self):
        """Note what a run that ended has made; the next one checks it."""
        had_rows = bool(self.want.rows)
        rows = self.compile()
        if rows or (self.rejects and not had_rows):
            self.want.rows = rows
            self.want.captions()
        self.check_files()

    def take_stock(self, states):
        """Find each file as it was before a run that died, or as one of its steps makes it."""
        extracted = states[0].copy()
        extracted.extract()
        states.append(extracted)
        if os.path.exists(self.table):
            rows = rows_of(pq.read_table(self.table))
            captioned = extracted.copy()
            captioned.rows = rows
            captioned.captions()
            states.append(captioned)
            self.want.rows = rows
        found = self.found()
        files = {}
        for path in {path for state in states for path in state.files} | found.keys():
            may_be = [state.files[path] for state in states if path in state.files]
            if path not in found:
                assert any(path not in state.files for state in states), path
                continue
            files[path] = next((file for file in may_be if file.data == found[path]), None)
            assert files[path], (path, found[path], may_be)
        self.want.files = files

    # What holds always

    @invariant()
    def what_a_user_has_written_is_there(self):
        for path, file in self.want.files.items():
            if file.by == "user":
                with open(f"{self.data}/{path}", "rb") as there:
                    assert there.read() == file.data


def rows_of(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def test_whatever_happens_a_run_makes_what_is_due_and_no_edit_is_lost():
    first, began = int(os.environ.get("CUTLINE_SEED", "0")), time.monotonic()
    for batch in range(-(-EXAMPLES // AT_ONCE)):
        if time.monotonic() - began > SECONDS:
            break
        run_state_machine_as_test(
            seed(first + batch)(States),
            settings=settings(
                max_examples=min(AT_ONCE, EXAMPLES),
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
