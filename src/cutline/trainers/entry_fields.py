"""The entry of a dataset in SimpleTuner's ``multidatabackend.json``."""

import os
import re
import shlex
from typing import Any, Final, TypeAlias

from cutline.errors import UsageError
from cutline.store import TableFiles, disk, parquet
from cutline.trainers.simpletuner import DEFAULTS, LoaderOptions

Entry: TypeAlias = dict[str, Any]

COLUMNS: Final = ("caption", "filename", "width", "height")

PLACES: Final = {"local": "instance_data_dir", "webshart": "source"}
"""Which field of an entry of each type has the folder of the images."""

# configuration/template_vars.py of the trainer replaces these wherever they stand in the file.
PLACEHOLDER: Final = re.compile(r"\{(?:id|model_family|output_dir|env:[^{}]+)\}")


def loader_entry(
    table: disk.AnyPath, data: disk.AnyPath, options: LoaderOptions = DEFAULTS
) -> Entry:
    """Build the dataset's own entry.

    Raises
    ------
    UsageError
        The trainer would refuse the table or the folder, or find nothing in it.
    """
    name = options.name_for(os.fspath(table))
    LoaderOptions(id=name)  # refuses one that cannot name a file
    path, folder = _table_file(os.fspath(table)), _images_folder(os.fspath(data))
    home = caches_home(table, data, options)
    sizes = {
        "resolution": options.resolution,
        "maximum_image_size": options.maximum_image_size,
        "minimum_image_size": options.minimum_image_size,
        "target_downsample_size": options.target_downsample_size,
    }
    common = {
        **{size: _number(value, options) for size, value in sizes.items() if value},
        "resolution_type": options.resolution_type,
        "cache_dir_vae": cache_folder(options.cache_dir_vae, home, f"vae/{name}"),
        "caption_strategy": options.strategy,
    }
    if options.strategy == "webshart":
        return {
            "id": name,
            "type": "webshart",
            "source": folder,
            "metadata": _index_folder(os.fspath(table), folder),
            **common,
            "metadata_backend": "webshart",
            "webshart": {
                "cache_dir": cache_folder(None, home, f"webshart/{name}"),
                "shard_cache_gb": 0,  # no copies of shards that are on a disk here
            },
        }
    return {
        "id": name,
        "type": "local",
        "instance_data_dir": folder,
        **common,
        "metadata_backend": "parquet",
        "parquet": {
            "path": path,
            **{f"{column}_column": column for column in COLUMNS},
            "identifier_includes_extension": True,
        },
    }


def _index_folder(table: str, folder: str) -> str:
    index = TableFiles.of(table).webshart
    if not os.path.isdir(index):
        make = shlex.join(["cutline", "export", table, folder, "--format", "webshart"])
        raise UsageError(f"There is no index {index}: make it with `{make}`.")
    for name in sorted(os.listdir(index)):
        shard = f"{folder}/{os.path.splitext(name)[0]}.tar"
        if not os.path.exists(shard):
            raise UsageError(f"The index {index} is of a shard {shard}: name the shards' folder.")
    return _literal(os.path.realpath(index))


def images_of(entry: Entry) -> Any:  # noqa: ANN401 - somebody may have written anything
    """Return what an entry says where its images, or their shards, are."""
    return entry.get(PLACES.get(entry.get("type", "local"), "instance_data_dir"))


def _number(size: float, options: LoaderOptions) -> float:
    # Pixels as whole numbers: for ``pixel_area`` the trainer takes 1024 but not 1024.0.
    return int(size) if options.resolution_type != "area" and size % 1 == 0 else float(size)


def _images_folder(data: str) -> str:
    if "://" in data:
        raise UsageError(f"{data} is a URL: the trainer needs DATA as a folder of this machine.")
    if not os.path.isdir(data):
        raise UsageError(f"There is no folder {data}: name the one that holds the images.")
    return _literal(os.path.realpath(data))  # it matches nothing in a relative one


def _table_file(table: str) -> str:
    if "://" in table:
        raise UsageError(f"{table} is a URL: the trainer needs a copy of it on this machine.")
    if os.path.isdir(table):
        raise UsageError(f"{table} is a folder: name the merged table, the trainer reads one file.")
    if table.endswith((".json", ".jsonl")):
        raise UsageError(f"The trainer would read {table} as JSON: call it {table}.parquet.")
    with parquet.open_parquet(table) as file:
        parquet.check_columns(file, table, COLUMNS)
        if not file.metadata.num_rows:
            raise UsageError(f"{table} has no row to train on: see its ledger for why.")
    return _literal(os.path.realpath(table))


def _literal(path: str) -> str:
    found = PLACEHOLDER.search(path)
    if found:
        raise UsageError(f"The trainer replaces {found.group()} in {path}: rename the folder.")
    return path


def caches_home(table: disk.AnyPath, data: disk.AnyPath, options: LoaderOptions) -> str:
    """Return the folder that caches of the trainer are in by default: beside the data.

    Shards may lie anywhere, also in the folder of the table: beside it then.
    """
    return os.path.dirname(os.path.realpath(table if options.strategy == "webshart" else data))


def cache_folder(chosen: str | None, home: str, name: str) -> str:
    """Return the folder of a cache of the trainer: by default below ``cache`` in `home`."""
    # One that was chosen may hold the trainer's placeholders.
    return os.path.abspath(chosen or os.path.join(home, "cache", name))
