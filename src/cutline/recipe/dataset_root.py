"""The folder of a dataset: where its table, its data and its shards are, and what is none."""

import os
import shlex

from cutline.errors import UsageError
from cutline.record import texts
from cutline.sources import local_folder, passing_over, shard_names
from cutline.store import disk
from cutline.trainers import simpletuner, webshart


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
            f" `{shlex.join(['cutline', 'run', dataset])}`, or rename it if it is a dataset of its"
            " own."
        )
    if sample:
        table = shlex.join(["cutline", "compile", path, f"{path}.parquet"])
        raise UsageError(
            f"The folder {path} holds images and sidecars itself, such as {sample}: move them into"
            f" {data}, run the folder whose data they are, or make a table alone with `{table}`."
        )
    if os.path.isdir(f"{data}/data") and os.path.exists(f"{data}/data.parquet"):
        raise UsageError(
            f"The folder {data} holds a dataset that a run has made in it, so each sample would"
            f" come twice: move {data}/data and {data}/data.* away."
        )


def _dataset_above(path: str) -> str | None:
    """Return the dataset in whose data a folder is, if there is one that has a table."""
    while path != (above := os.path.dirname(path)):
        name = os.path.basename(above)
        if os.path.basename(path) == "data" and os.path.exists(f"{above}/{name}.parquet"):
            return above
        path = above
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
