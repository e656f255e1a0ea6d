"""The folder of a dataset: where its table, its data and its shards are, and what is none."""

import os
import shlex
from contextlib import suppress
from typing import Final

from cutline.errors import UsageError
from cutline.record import texts
from cutline.sources import local_folder, passing_over, shard_names
from cutline.store import Workspace, disk
from cutline.trainers import simpletuner, webshart

LOOKED_INTO: Final = 20
"""Folders in which a dataset is looked for, to name it."""


def layout(root: disk.AnyPath) -> tuple[str, str]:
    """Return the paths of a dataset's table and of its data.

    Raises
    ------
    UsageError
        There is no such folder, or it has neither ``data`` nor shards, or it is the data folder of
        a dataset itself.
    """
    path = disk.absolute(root)
    if not os.path.isdir(path):
        if not os.path.exists(path):
            raise UsageError(f"There is no folder {path}: correct the name.")
        above = os.path.dirname(os.fspath(root)) or "."
        if os.path.basename(os.path.dirname(path)) == "data":
            above = os.path.normpath(os.path.join(above, ".."))
        command = shlex.join(["cutline", "run", above])
        raise UsageError(f"{path} is no folder, and a dataset is one: run `{command}`.")
    data = os.path.join(path, "data")
    has_data, has_shards = os.path.isdir(data), bool(shard_names.shards_in_root(path))
    _check_root(path, data, alone=not has_data, shards=has_shards)
    if not has_data and not has_shards:
        hints = shard_names.passed_over(root)
        mend = f"put tar shards into it, or images and sidecars into {data}"
        if below := _dataset_below(path):
            mend = (
                f"run the datasets that are in it, as in `{shlex.join(['cutline', 'run', below])}`"
            )
        raise UsageError(" ".join([f"There is nothing to prepare in {path}: {mend}.", *hints]))
    return os.path.join(path, os.path.basename(path) + ".parquet"), data


def _check_root(path: str, data: str, *, alone: bool, shards: bool) -> None:
    """Refuse what is in a dataset already, and a dataset that a run has made there by mistake.

    `alone` is whether it has no data folder, and `shards` whether there are any.
    """
    dataset = _dataset_above(path)
    sample = _loose_sample(path, alone=alone and not shards)
    above, name = os.path.split(path)
    if name == "data" and (sample or (alone and shards)):
        dataset = dataset or above  # nothing but a plain download of the hub may be there yet
    if dataset:
        raise UsageError(
            f"The folder {path} belongs to the data of {dataset}: run"
            f" `{shlex.join(['cutline', 'run', dataset])}`, or move it elsewhere if it is a dataset"
            " of its own."
        )
    if sample:
        table = shlex.join(["cutline", "compile", path, f"{path}.parquet"])
        raise UsageError(
            f"The folder {path} holds images and sidecars itself, such as {sample}: move them into"
            f" its data with `{_move_into(path, data)}`, or make a table alone with `{table}`."
        )
    if os.path.isdir(f"{data}/data") and os.path.exists(f"{data}/data.parquet"):
        raise UsageError(
            f"The folder {data} holds a dataset that a run has made in it, so each sample would"
            f" come twice: move {data}/data and {data}/data.* away."
        )
    if not alone and (prepared := _prepared_in(data)):
        command = shlex.join(["cutline", "run", os.path.join(data, prepared)])
        raise UsageError(
            f"The folder {data} holds datasets that were prepared, such as {prepared}, which would"
            f" become one: run each of them, as in `{command}`, or move them elsewhere."
        )


def _dataset_below(path: str) -> str | None:
    """Return a folder directly in a folder that has data or shards, if there is one."""
    folders = sorted(entry.path for entry in os.scandir(path) if entry.is_dir())
    for folder in folders[:LOOKED_INTO]:
        with suppress(UsageError, OSError):
            if os.path.isdir(f"{folder}/data") or shard_names.shards_in_root(folder):
                return folder
    return None


def _dataset_above(path: str) -> str | None:
    """Return the dataset in whose data a folder is, if there is one that has a table."""
    while path != (above := os.path.dirname(path)):
        name = os.path.basename(above)
        if os.path.basename(path) == "data" and os.path.exists(f"{above}/{name}.parquet"):
            return above
        path = above
    return None


def _move_into(path: str, data: str) -> str:
    here, there = shlex.quote(path), shlex.quote(data)
    made = "" if os.path.isdir(data) else f"mkdir {there} && "
    return f"{made}find {here} -maxdepth 1 -type f -exec mv -t {there} {{}} +"


def _prepared_in(data: str) -> str | None:
    """Return the name of a dataset with a table directly in a data folder, if there is one."""
    folders = os.stat(data).st_nlink - 2 - os.path.isdir(Workspace.below(data).folder)
    if folders == 0:  # each is a link by its ".."; not on all file systems
        return None
    with local_folder.scanned(os.fsencode(data), b"", local_folder.refuse) as entries:
        for entry in entries:
            if passing_over.is_file_name(entry.name):  # of which there may be millions
                continue
            name = os.fsdecode(entry.name)
            table = os.path.join(data, name, name)
            if all(map(os.path.exists, (f"{table}.parquet", f"{table}.cutline"))):
                return texts.shown_path(entry.name)
    return None


def _loose_sample(folder: str, *, alone: bool) -> str | None:
    """Return the name of a sidecar directly in a folder that is beside its image, or `alone`."""
    names: dict[bool, dict[bytes, bytes]] = {True: {}, False: {}}
    with local_folder.scanned(os.fsencode(folder), b"", local_folder.refuse) as entries:
        for entry in entries:
            stem, extension = os.path.splitext(entry.name)
            is_sidecar = passing_over.is_sidecar_name(entry.name)
            if is_sidecar or extension[1:].lower() in simpletuner.IMAGES:
                names[is_sidecar][stem] = entry.name
                if stem in names[not is_sidecar] or (alone and is_sidecar):
                    return texts.shown_path(names[True][stem])
    return None


def check_shards(root: disk.AnyPath) -> shard_names.ShardSet:
    """Return the shards of a dataset that the trainer is to read in place.

    Raises
    ------
    UsageError
        There are none, or webshart would not find them.
    """
    if not (found := shard_names.shards_in_root(root)):
        raise UsageError(
            f"There is no .tar file in {root} or its data folder: leave --no-extract out."
        )
    shards = shard_names.open_shards(found)
    webshart.check_places(shards)
    return shards
