"""Small datasets, and what cutline makes of them on one machine: the oracle of many machines."""

import json
import os
import shutil
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import dask

import cutline

OPTIONS = cutline.CompileOptions(partition_size=10)
PARTITION = ("--partition-size", "10")
"""Forty tasks, so that every worker gets some."""
SMALL_PARTS = ("--partition-size", "2")
"""A thousand tasks of 2,000 sidecars, so that a run has a middle."""
ALONE = ("--workers", "1", "--dashboard-address", "none")


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a run leaves: the bytes of the table, of the ledger and of each caption file."""

    table: bytes | None
    ledger: bytes | None
    captions: dict

    def without_captions(self):
        return replace(self, captions={})


@dataclass(frozen=True)
class Datasets:
    """Folders to copy from, and what must come of them anywhere."""

    loose: Path
    shards: Path
    of_loose: Outcome
    of_shards: Outcome
    of_root: Outcome
    verified: dict

    def copy_loose(self, place):
        """Copy sidecars and images to `place`/data, times of change too, and make `place`/out."""
        shutil.copytree(self.loose, place / "data", dirs_exist_ok=True)
        (place / "out").mkdir(exist_ok=True)
        return place / "data", place / "out" / "t.parquet"

    def copy_shards(self, place):
        """Copy the shards to `place`/shards, and make `place`/data and `place`/out."""
        shutil.copytree(self.shards, place / "shards")
        (place / "data").mkdir()
        (place / "out").mkdir()
        return place / "shards", place / "out" / "t.parquet"

    def copy_root(self, place):
        """Copy the shards to `place` itself, as a dataset is downloaded."""
        shutil.copytree(self.shards, place, dirs_exist_ok=True)


def outcome(table, data):
    """Look at what a run has left."""
    table = Path(table)
    return Outcome(
        _bytes(table),
        _bytes(table.with_suffix(".rejects.parquet")),
        {path.name: path.read_bytes() for path in Path(data).glob("*.txt")},
    )


def same(made, wanted):
    """Whether two outcomes are equal; pytest would show megabytes of them if asked outright."""
    return made == wanted


def _bytes(path):
    return path.read_bytes() if path.exists() else None


def without_seconds(summary):
    """Return a summary, or what was printed of it, but for what differs from run to run."""
    text = summary if isinstance(summary, str) else json.dumps(summary.as_json())
    known = json.loads(text)
    return {key: value for key, value in known.items() if key not in {"seconds", "table", "data"}}


def make_datasets(folder):
    """Make the datasets below a folder, and do the work on them in this process."""
    loose, shards = folder / "loose" / "data", folder / "shards"
    cutline.make_demo(folder / "loose", cutline.DemoOptions(400))
    _pack(loose, shards)
    table, alone, root = folder / "t.parquet", folder / "alone", folder / "root"
    shutil.copytree(loose, alone)
    shutil.copytree(shards, root)
    with at_home():
        cutline.compile_table(alone, table, OPTIONS)
        cutline.write_captions(table, alone)
        verified = cutline.verify_dataset(table, alone)
        cutline.compile_table(shards, folder / "s.parquet", OPTIONS)
        cutline.run(root, OPTIONS)
    return Datasets(
        loose,
        shards,
        outcome(table, alone),
        outcome(folder / "s.parquet", shards),
        outcome(root / "root.parquet", root / "data"),
        without_seconds(verified),
    )


def at_home():
    """Do the work of a block in this process, one task after the other."""
    return dask.config.set(scheduler="synchronous")


def _pack(folder, shards):
    """Pack the files of a folder into eight shards."""
    shards.mkdir()
    stems = sorted({path.stem for path in folder.iterdir()})
    for number in range(8):
        with tarfile.open(shards / f"data-{number:06}.tar", "w") as shard:
            for stem in stems[number::8]:
                for path in sorted(folder.glob(f"{stem}.*")):
                    if not os.path.islink(path):
                        shard.add(path, path.name, recursive=False)
