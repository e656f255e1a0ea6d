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
from itertools import count

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from at_work import Killed, bury, command, die_at, in_this_process
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from plain_dataset import ROOM, Dataset, File, Hole, Shard, compiled, picture

from trees import tree

ALL = "--max-rejects=1"
RUN = (ALL, "--minimum-image-size=0")  # by default the trainer would leave out all images

EXAMPLES = int(os.environ.get("CUTLINE_EXAMPLES", "20"))
SECONDS = float(os.environ.get("CUTLINE_SECONDS", "inf"))
AT_ONCE, STEPS = 20, 12
"""Examples of one seed, and rules of one example."""

SHARDS = ["p-0.tar", "p-1.tar", "p-2.tar", "data/p-3.tar"]
STEMS = ["a", "b", "c", "d", "s/e"]
SIZES = [(8, 6), (6, 8)]

NO_IMAGES = {"empty": b"", "page": b"<html>"}
"""What may be in the place of an image."""

KINDS = st.sampled_from(["good"] * 6 + ["no_width", "no_caption", "torn", *NO_IMAGES])
SAMPLES = st.lists(st.tuples(st.sampled_from(STEMS), KINDS), min_size=1, max_size=4)
WHICH = st.integers(0, 10**6)
AFTER = st.integers(0, 80)


def any_shard(holds=lambda _: True):
    """Let a rule be chosen only if there is such a shard: no sequence is begun in vain."""
    return precondition(lambda self: any(map(holds, self.want.shards.values())))


def any_file(*endings):
    """Let a rule be chosen only if there is a file with one of the endings."""
    return precondition(lambda self: self.files_with(*endings))


class States(RuleBasedStateMachine):
    """A dataset and what it must be.

    `want` is the account of it, `rejects` the ledger of the last compile, and `moved` has what is
    in each folder that orphans were moved to. After a death it is `unsure` what was unpacked.
    """

    def __init__(self):
        super().__init__()
        self.above = tempfile.mkdtemp(dir=ROOM)
        self.root = f"{self.above}/set"
        self.data = f"{self.root}/data"
        self.table = f"{self.root}/set.parquet"
        os.makedirs(self.data)
        self.want = Dataset()
        self.rejects = []
        self.moved = {}
        self.unsure = False
        self.serial = 0
        self.stack = contextlib.ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.stack.enter_context(in_this_process(patch))

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
            members[f"{stem}.png"] = NO_IMAGES.get(kind, self.image(SIZES[0], longer))
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
        """Zeros from within one member to within the header of a later one or behind it.

        The last one is not empty: zeros to the end of a short archive are what ends any.
        """
        members = self.members(samples)
        members[-1] = (members[-1][0], members[-1][1] or self.image(SIZES[0]))
        places = Shard(members, 0).places()
        first %= len(places) - 1
        begin, end = places[first]
        start = begin + 513 + first % max(1, end - begin - 513)
        least = places[first + 1][0] + 512
        last = max(least, places[-1][0])
        self.write_shard(name, members, Hole(start, least + more % (last - least + 1)))

    @any_shard(lambda shard: shard.hole)
    @rule(which=WHICH, share=st.floats(0.05, 0.99), whole=st.booleans())
    def a_shard_grows(self, which, share, whole):
        names = sorted(name for name, shard in self.want.shards.items() if shard.hole)
        name = names[which % len(names)]
        shard = self.want.shards[name]
        hole = shard.hole
        if not whole and hole.stop is None:
            left = len(Shard(shard.members, 0).archive()) - hole.start
            hole = hole._replace(start=hole.start + int(share * left))
        self.write_shard(name, shard.members, None if whole else hole)

    @any_shard()
    @rule(which=WHICH, longer=st.sampled_from(["", "", " and on"]), drop=st.booleans())
    def a_shard_is_corrected(self, which, longer, drop):
        """Other contents, of the same lengths or of others; perhaps without its first member."""
        name = self.there(which)
        corrected = []
        members = self.want.shards[name].members
        for path, _ in members[drop and len(members) > 1 :]:
            if path.endswith(".json"):
                corrected.append((path, self.sidecar(path[:-5], longer=longer)))
            elif path.endswith(".png"):
                corrected.append((path, self.image(SIZES[0], longer)))
            else:
                corrected.append((path, b"Text %06d" % self.new()))
        self.write_shard(name, corrected)

    @precondition(lambda self: 0 < len(self.want.shards) < len(SHARDS))
    @rule(which=WHICH, free=WHICH)
    def a_shard_is_renamed(self, which, free):
        before = self.there(which)
        names = [name for name in SHARDS if name not in self.want.shards]
        name = names[free % len(names)]
        os.rename(f"{self.root}/{before}", f"{self.root}/{name}")
        self.want.shards[name] = self.want.shards.pop(before)
        self.want.shards[name].version = self.new()

    @any_shard()
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

    def files_with(self, *endings):
        return sorted(path for path in self.want.files if path.endswith(endings or ("",)))

    def some_file(self, which, *endings):
        paths = self.files_with(*endings)
        return paths[which % len(paths)]

    @any_file(".txt")
    @rule(which=WHICH, longer=st.sampled_from(["", " by hand"]), in_place=st.booleans())
    def a_user_edits_a_caption(self, which, longer, in_place):
        path = self.some_file(which, ".txt")
        self.user_writes(path, b"Story %06d%s." % (self.new(), longer.encode()), in_place)

    @any_file(".json")
    @rule(which=WHICH, longer=st.sampled_from(["", " by hand"]), in_place=st.booleans())
    def a_user_edits_a_sidecar(self, which, longer, in_place):
        path = self.some_file(which, ".json")
        self.user_writes(path, self.sidecar(path[:-5], longer=longer), in_place)

    @any_file(".png")
    @rule(which=WHICH, size=st.sampled_from(SIZES), longer=st.sampled_from(["", "longer"]))
    def a_user_edits_an_image(self, which, size, longer):
        path = self.some_file(which, ".png")
        self.user_writes(path, self.image(size, longer))

    @any_file()
    @rule(which=WHICH)
    def a_tool_edits_a_file_and_keeps_its_time(self, which):
        path = self.some_file(which)
        before = os.stat(f"{self.data}/{path}").st_mtime_ns
        longer = "by a tool" * 3
        data = {"j": self.sidecar(path[:-5], longer=longer), "p": self.image(SIZES[0], longer)}
        self.user_writes(
            path, data.get(path.rpartition(".")[2][0], b"Text %06d " % self.new() + longer.encode())
        )
        os.utime(f"{self.data}/{path}", ns=(before, before))

    @any_file()
    @rule(which=WHICH, empty=st.booleans())
    def a_file_is_broken(self, which, empty):
        """What nobody can have meant is made anew where something is due there."""
        path = self.some_file(which)
        broken = {"txt": b" ", "json": b'{"torn": ', "png": NO_IMAGES["empty" if empty else "page"]}
        self.user_writes(path, broken[path.rpartition(".")[2]])
        self.want.files[path] = self.want.files[path]._replace(by="nobody")

    @any_file()
    @rule(which=WHICH)
    def a_user_touches_a_file(self, which):
        path = self.some_file(which)
        os.utime(f"{self.data}/{path}")
        if self.want.files[path].by == "shard":  # caption files are known by what they hold
            self.want.files[path] = self.want.files[path]._replace(by="user")

    @any_file()
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

    @any_file(".png")
    @rule(which=WHICH)
    def a_user_adds_a_second_sidecar_of_an_image(self, which):
        path = self.some_file(which, ".png")
        twice = f"{os.path.dirname(path)}/twice".lstrip("/")
        name = os.path.basename(path)
        self.user_writes(f"{twice}.json", self.sidecar(twice, image_name=name))

    # Commands, and what they must come to

    def compile(self):
        """Note what the table must be, from the files; return whether it is made."""
        rows, rejects = compiled(self.want.files)
        made = bool(rows or (rejects and not self.want.rows))  # else the table stays
        if made:
            self.want.rows, self.rejects = rows, rejects
        return made

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

    @rule(overwrite=st.booleans(), orphans=st.booleans())
    def run(self, overwrite, orphans):
        self.work(overwrite, orphans)

    def work(self, overwrite=False, orphans=False):
        """Run, and check what is there then."""
        words = ["--overwrite"] * overwrite + ["--orphans=move"] * orphans
        folders = set(os.listdir(self.root))
        ended = command("run", self.root, *RUN, "--json", *words)
        self.want.extract(overwrite)
        self.unsure = False
        if not self.compile():
            assert ended.status
            self.check_files()
            return ended
        edited = self.want.captions(overwrite)
        for folder in sorted(set(os.listdir(self.root)) - folders):
            if folder.startswith("orphans"):
                assert orphans
                if self.note_moved(f"{self.root}/{folder}"):
                    self.compile()
                    edited = self.want.captions(overwrite)
        if orphans and not self.want.is_elsewhere():
            assert not self.want.movable()
        self.check_files()
        lost = self.want.lost()
        self.check_table(lost, self.want.damaged())
        missing = list(self.want.missing(self.rejects))
        assert (ended.status == 0) == (not missing), (missing, ended.said)
        self.check_summary(ended.summary, edited, lost)
        for folder in (f"{self.root}/set.cutline", f"{self.data}/.cutline"):
            assert not os.path.exists(f"{folder}/lock")
            assert not os.path.exists(f"{folder}/attempts")
        return ended

    def check_summary(self, summary, edited, lost):
        rows = len(self.want.rows)
        assert summary["compile"]["rows"] == rows
        assert summary["compile"]["sidecars"] == rows + len(self.rejects) + len(lost)
        captions = summary["captions"]
        assert captions["edited"] == edited
        kinds = ("written", "replaced", "unchanged", "edited")
        assert sum(captions[kind] for kind in kinds) == rows

    @rule()
    def run_twice(self):
        """The second time there is nothing to do."""
        self.work()
        summary = self.work().summary
        if summary:
            assert summary["captions"]["written"] == summary["captions"]["replaced"] == 0
            assert summary["compile"]["reused_parts"] == summary["compile"]["parts"]
            assert not self.want.shards or summary["extract"]["files"] == 0

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

    def is_read_in_place(self):
        flat = any("/" not in path for path in self.files_with(".json"))
        return "data/p-3.tar" in self.want.shards and not flat

    @precondition(lambda self: self.want.files and not self.is_read_in_place())
    @rule()
    def compile_alone(self):
        ended = command("compile", self.data, self.table, ALL)
        if self.compile():
            self.check_table()
        assert (ended.status == 0) == bool(compiled(self.want.files)[0])

    @precondition(lambda self: self.want.rows)
    @rule(overwrite=st.booleans())
    def captions(self, overwrite):
        ended = command("captions", self.table, self.data, *["--overwrite"] * overwrite)
        assert ended.status == 0
        self.want.captions(overwrite)
        self.check_files()

    # Orphans

    def note_moved(self, folder):
        """Note what was moved, which must be no part of a sample that can be used, nor lost.

        Return whether rows have lost their images.
        """
        away = tree(folder) if os.path.isdir(folder) else {}
        movable = self.want.movable()
        kept = {filename for *_, filename in self.want.rows} - movable
        kept |= {os.path.splitext(filename)[0] + ".txt" for filename in kept}
        there = self.moved.setdefault(folder, {})
        for path in (self.want.files.keys() & away.keys()) - there.keys():
            assert away[path] == self.want.files[path].data
            assert path not in kept
            there[path] = self.want.moved(path)
        assert {path: file.data for path, file in there.items()}.items() <= away.items()
        assert not self.want.orphans()
        assert not self.want.movable()
        return bool(movable)

    @precondition(lambda self: self.want.rows and not self.unsure)
    @rule()
    def move_orphans(self):
        folder = f"{self.above}/orphans {self.new()}"
        ended = command("verify", self.table, self.data, "--orphans", f"move={folder}")
        if ended.status == 2:
            assert self.want.is_elsewhere()
            self.check_files()
        else:
            self.note_moved(folder)
            self.check_files()

    @precondition(lambda self: self.want.rows and not self.unsure)
    @rule()
    def caption_orphans(self):
        command("verify", self.table, self.data, "--orphans", "caption")
        self.want.caption_orphans(self.rejects)
        self.check_files()

    @precondition(lambda self: self.moved)
    @rule(which=WHICH)
    def restore_orphans(self, which):
        self.restore(sorted(self.moved)[which % len(self.moved)])

    def restore(self, folder):
        taken = self.want.restore(self.moved[folder])
        ended = command("verify", self.table, self.data, "--orphans", f"restore={folder}")
        self.check_files()
        if taken:
            assert ended.status == 1
            assert f"{len(taken)} files are still in" in ended.said
            self.moved[folder] = taken
        else:
            del self.moved[folder]
        assert os.path.exists(folder) == bool(taken)

    @rule(data=st.data())
    def follow_the_advice(self, data):
        """Who does what a run advises and runs it again gets a 0, unless something is missing."""
        for _ in range(6):
            ended = self.work()
            if not ended.status or not ended.advice or not ended.summary:
                break
            self.obey(data.draw(st.sampled_from(ended.advice)))
        if not compiled(self.want.files)[0]:
            return
        missing = self.want.missing(self.rejects)
        by_command = ("no row", "no caption file", "no image")
        by_hand = [line for line in missing if not line.endswith(by_command)]
        assert (
            ended.status == 0
            or by_hand
            or self.want.is_elsewhere()
            or (self.want.unusable() and not self.want.movable())
        ), ended.said

    def obey(self, words):
        if words[0] == "run":
            assert (words[1], words[-2:]) == (self.root, ["--orphans", "move"])
            self.work(orphans=True)
            return
        words = [*words, ALL] if words[0] == "compile" else words
        ended = command(*words)
        assert ended.status in (0, 1), ended.said
        if words[0] == "verify":
            self.note_moved(words[words.index("--orphans") + 1].removeprefix("move="))
        elif words[0] == "captions":
            self.want.captions()
        else:
            assert words[0] == "compile"
            self.compile()
        self.check_files()

    # Death

    def die(self, after, *words):
        """Run a command that dies after some changes of names; return whether it did."""
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, after)
            try:
                command(*words)
            except Killed:
                self.unsure = True
                bury(f"{self.root}/set.cutline/lock")
                bury(f"{self.data}/.cutline/lock")
                return True
        return False

    @rule(after=AFTER)
    def run_and_die(self, after):
        """Each file is as it was or as it will be; what a user has written is there."""
        if self.die(after, "run", self.root, *RUN):
            self.take_stock()
        else:
            self.finish()

    @rule(after=AFTER, overwrite=st.booleans(), orphans=st.booleans())
    def run_and_die_and_run_again(self, after, overwrite, orphans):
        words = ["--overwrite"] * overwrite + ["--orphans=move"] * orphans
        before = set(os.listdir(self.root))
        dead = self.die(after, "run", self.root, *RUN, *words)
        for folder in set(os.listdir(self.root)) - before:
            if folder.startswith("orphans"):
                self.take_stock(overwrite, f"{self.root}/{folder}")
                break
        else:
            if dead:
                self.take_stock(overwrite)
            else:
                self.finish(overwrite)
        self.work(overwrite, orphans)

    @precondition(lambda self: self.want.rows and not self.unsure and not self.want.is_elsewhere())
    @rule(after=AFTER)
    def move_orphans_and_die_and_move_again(self, after):
        folder = f"{self.above}/orphans {self.new()}"
        words = ("verify", self.table, self.data, "--orphans", f"move={folder}")
        self.die(after, *words)
        self.unsure = False
        assert command(*words).status in (0, 1)
        self.note_moved(folder)
        self.check_files()

    @precondition(lambda self: self.moved)
    @rule(which=WHICH, after=AFTER)
    def restore_orphans_and_die_and_restore_again(self, which, after):
        folder = sorted(self.moved)[which % len(self.moved)]
        unsure = self.unsure
        self.die(after, "verify", self.table, self.data, "--orphans", f"restore={folder}")
        self.unsure = unsure
        if os.path.exists(folder):
            self.restore(folder)
        else:
            assert not self.want.restore(self.moved.pop(folder))
            self.check_files()

    def finish(self, overwrite=False):
        """Note what a run that ended has made."""
        self.want.extract(overwrite)
        if self.compile():
            self.want.captions(overwrite)
        self.check_files()

    def take_stock(self, overwrite=False, folder=""):
        """Find each file as it was before a run that died, or as one of its steps makes it."""
        states = [self.want, extracted := self.want.copy()]
        extracted.extract(overwrite)
        if os.path.exists(self.table):
            self.want.rows = rows_of(pq.read_table(self.table))
            states.append(captioned := extracted.copy())
            captioned.rows = self.want.rows
            captioned.captions(overwrite)
        paths = {path for state in states for path in state.files}
        found, away = self.found(), tree(folder) if folder else {}

        def known(path, data):
            may_be = [state.files.get(path) for state in states]
            fitting = [file for file in may_be if (file and file.data) == data]
            assert fitting, (path, data, may_be)
            return fitting[0]

        for path in paths & away.keys():  # others may have its name since
            self.want.files[path] = known(path, away[path])
            self.moved.setdefault(folder, {})[path] = self.want.moved(path)
        self.want.files = {path: known(path, data) for path, data in found.items()}
        for path in paths - found.keys() - away.keys():
            assert known(path, None) is None

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
    began, done = time.monotonic(), 0
    for one in count(int(os.environ.get("CUTLINE_SEED", "0"))):
        if done >= EXAMPLES or time.monotonic() - began > SECONDS:
            break
        print(f"Seed {one}, after {done} examples")
        run_state_machine_as_test(
            seed(one)(States),
            settings=settings(
                max_examples=min(AT_ONCE, EXAMPLES - done),
                stateful_step_count=STEPS,
                suppress_health_check=list(HealthCheck),
            ),
        )
        done += AT_ONCE
