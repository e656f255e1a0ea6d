"""A small dataset that was prepared once and has changed since, and what must hold on it always."""

import os
from dataclasses import dataclass
from functools import cache

import dask
import pyarrow.parquet as pq

import cutline
from cutline import compile_table, write_captions
from cutline.plan.receipts import read_receipt
from cutline.store.table_store import LocalDisk
from oracle import compile_folder
from sidecars import numbered, record, write_sidecars

OPTIONS = cutline.CompileOptions(partition_size=15, max_rejects=1)
OUTPUTS = ("x.parquet", "x.rejects.parquet", "x.parts/", "x.cutline/", "data/.cutline/")
NOTES = {"x.cutline/merged", "x.cutline/timings"}  # of inodes, and of seconds


def prepare(root):
    """Do the whole work on a dataset in this process, and give both summaries."""
    with dask.config.set(scheduler="synchronous"):
        compiled = compile_table(f"{root}/data", f"{root}/x.parquet", OPTIONS)
        return compiled, write_captions(f"{root}/x.parquet", f"{root}/data", OPTIONS)


def before():
    """30 sidecars, in two parts and two folders, four of which give no row."""
    return numbered(26) | {
        "sub/00.json": record("00.png"),
        "sub/01.json": b"{torn",
        "sub/02.json": record("02.png", width=...),
        "sub/03.json": record("00.jpg"),
    }


def changes():
    """What somebody does to them then: each part changes, and so do caption files."""
    return {
        "003.json": record("003.png", short_caption="What 003.png SHOWS."),
        "020.json": record("020.png", short_caption="Another story."),
        "021.json": record("021.png", short_caption=""),
        "sub/01.json": record("01.png"),
        "sub/04.json": record("04.png"),
    }


@dataclass
class World:
    """A dataset to start from, and how it must look in the end.

    `start` and `end` are what is found in it: path to bytes, or to None for a folder. Its sidecars
    stay where they are, for no copy of them has their time of change.
    """

    root: str
    start: dict
    end: dict

    def reset(self):
        """Make it again what it was at the start."""
        for path in sorted(found(self.root).keys() - self.sidecars(), reverse=True):
            place = f"{self.root}/{path}"
            (os.rmdir if os.path.isdir(place) else os.unlink)(place)
        for path in sorted(self.start.keys() - self.sidecars()):
            if self.start[path] is None:
                os.mkdir(f"{self.root}/{path}")
            else:
                with open(f"{self.root}/{path}", "wb") as file:
                    file.write(self.start[path])

    def sidecars(self):
        """What no run touches: the sidecars and their folders."""
        return {"data", "data/sub", *(path for path in self.start if path.endswith(".json"))}

    def faults_amid(self, code):
        """Say what is wrong after a run that something happened to."""
        now = found(self.root)
        for path, data in now.items():
            if not self.may_be(path, data):
                yield f"{path} is neither as before nor as it must become"
        for path in self.start.keys() - now.keys():
            if not path.startswith(("x.cutline/", "x.parts/part", "data/.cutline/")):
                yield f"{path} is gone"
        if code == 0 and self.without_own(now) != self.without_own(self.end):
            yield "it exits with 0 and work is missing"
        yield from uneven_receipts(self.root)

    def may_be(self, path, data):
        """Tell whether something may be found at a path in the middle of a run."""
        if path.startswith(("x.cutline/", "data/.cutline")) or path in {"x.cutline", "x.parts"}:
            return True
        if path.startswith("x.parts/"):  # its duplicates may not have been settled yet
            return path in self.start or path in self.end
        return any(path in state and state[path] == data for state in (self.start, self.end))

    def faults_after(self):
        """Say what is wrong after a run that nothing happened to."""
        now = found(self.root)
        for path in now.keys() ^ self.end.keys():
            yield f"{path} is {'left behind' if path in now else 'missing'}"
        for path in now.keys() & self.end.keys() - NOTES:
            if now[path] != self.end[path]:
                yield f"{path} is not as it must be"

    @staticmethod
    def without_own(state):
        """Leave out what belongs to cutline alone."""
        return {path: data for path, data in state.items() if "cutline" not in path}


@cache
def make_world(root, *, first):
    """Make a world in which the run at hand is the first, or comes after one and changes."""
    write_sidecars(f"{root}/data", before())
    if not first:
        prepare(root)
    write_sidecars(f"{root}/data", changes())
    os.remove(f"{root}/data/007.json")
    start = found(root)
    summaries = prepare(root)
    check_against_oracle(root, *summaries)
    world = World(root, start, found(root))
    world.reset()
    return world


def check_against_oracle(root, compiled, captions):
    """Compare what a run that nothing happened to made with what a plain reading gives."""
    rows, rejects = compile_folder(f"{root}/data")
    table = pq.read_table(f"{root}/x.parquet").to_pylist()
    assert [tuple(row.values()) for row in table] == rows
    ledger = pq.read_table(f"{root}/x.rejects.parquet").to_pylist()
    assert [(line["source"], line["reason"], line["filename"]) for line in ledger] == rejects
    assert compiled.sidecars == compiled.rows + sum(compiled.rejects.values()) == 30
    for _, _, caption, filename in rows:
        with open(f"{root}/data/{os.path.splitext(filename)[0]}.txt") as file:
            assert file.read() == caption


def found(root):
    """Look at everything below a folder."""
    state = {}
    for folder, folders, files in os.walk(root):
        for name in folders:
            state[os.path.relpath(f"{folder}/{name}", root)] = None
        for name in files:
            with open(f"{folder}/{name}", "rb") as file:
                state[os.path.relpath(f"{folder}/{name}", root)] = file.read()
    return state


def uneven_receipts(root):
    """Find parts whose rows and rejects are not all the sidecars that went in."""
    parts = f"{root}/x.parts"
    for name in os.listdir(parts) if os.path.isdir(parts) else ():
        receipt = read_receipt(LocalDisk(), f"{parts}/{name}", 0)
        if receipt is None or receipt.sidecars != 15:
            yield f"{name} has no receipt for 15 sidecars"
        elif pq.read_metadata(f"{parts}/{name}").num_rows != receipt.rows:
            yield f"{name} has not the rows of its receipt"
