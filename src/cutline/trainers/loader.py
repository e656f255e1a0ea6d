"""The trainer's dataloader entry: SimpleTuner's ``multidatabackend.json``."""

import json
import os
import re
from itertools import count
from typing import Any, Final, TypeAlias

from cutline.errors import CutlineError, UsageError
from cutline.store import disk, parquet, trouble
from cutline.trainers.simpletuner import DEFAULTS, LoaderOptions

Entry: TypeAlias = dict[str, Any]

NAMED: Final = ("caption", "filename", "width", "height")


# configuration/template_vars.py of the trainer replaces these wherever they stand in the file.
PLACEHOLDER: Final = re.compile(r"\{(?:id|model_family|output_dir|env:[^{}]+)\}")


def write_loader(
    table: disk.AnyPath,
    data: disk.AnyPath,
    out: disk.AnyPath,
    options: LoaderOptions = DEFAULTS,
) -> list[Entry]:
    """Put the dataset's entry into the trainer's file, which is made if it is not there.

    An entry of the same id is replaced where it stands; all others keep their order and values.
    A ``text_embeds`` entry is added unless one is there and enabled.

    Parameters
    ----------
    table, data
        The table and the folder that its filenames are relative to.
    out
        ``multidatabackend.json``; replaced in one step.

    Returns
    -------
    list of dict
        All entries of the file now.

    Raises
    ------
    UsageError
        The trainer would refuse the entry, or `out` is no JSON list of objects; it is as it was.
    CutlineError
        `out` cannot be read or written.
    """
    entry = loader_entry(table, data, options)
    path = out_file(os.fspath(out), entry["instance_data_dir"])
    folder = os.path.dirname(path)
    # The runs of two datasets that lie side by side may come here at the same moment.
    with trouble.in_words(path), disk.one_at_a_time(folder):
        entries = with_entry(read_entries(path), entry)
        if not any(is_text_cache(other) for other in entries):
            entries.append(text_entry(entries, entry["instance_data_dir"], options))
        check_caches(entries, entry)
        # In ASCII, because escapes bring every folder's name through, even one that is not UTF-8.
        with disk.publish(path) as file:
            file.write(json.dumps(entries, indent=4).encode() + b"\n")
    return entries


def loader_entry(
    table: disk.AnyPath,
    data: disk.AnyPath,
    options: LoaderOptions = DEFAULTS,
) -> Entry:
    """Make the dataset's own entry.

    Raises
    ------
    UsageError
        The trainer would refuse the table or the folder, or find nothing in it.
    """
    folder = images_folder(os.fspath(data))
    sizes = {
        "resolution": options.resolution,
        "maximum_image_size": options.maximum_image_size,
        "minimum_image_size": options.minimum_image_size,
        "target_downsample_size": options.target_downsample_size,
    }
    return {
        "id": options.id,
        "type": "local",
        "instance_data_dir": folder,
        **{name: number(size, options) for name, size in sizes.items() if size},
        "resolution_type": options.resolution_type,
        "cache_dir_vae": cache_folder(options.cache_dir_vae, folder, f"vae/{options.id}"),
        "caption_strategy": options.strategy,
        "metadata_backend": "parquet",
        "parquet": {
            "path": table_file(os.fspath(table)),
            **{f"{column}_column": column for column in NAMED},
            "identifier_includes_extension": True,
        },
    }


def entry_file(table: str) -> str:
    """Name the trainer's file, as `cutline run` leaves it."""
    return beside(table, "multidatabackend.json")


def beside(table: str, name: str) -> str:
    """Name what stands beside a table, as `cutline run` leaves it."""
    return os.path.join(os.path.dirname(os.path.abspath(table)), name)


def number(size: float, options: LoaderOptions) -> float:
    """Write pixels as whole numbers: for ``pixel_area`` the trainer takes 1024 but not 1024.0."""
    return int(size) if options.resolution_type != "area" and size % 1 == 0 else float(size)


def images_folder(data: str) -> str:
    """Check DATA, and give its absolute path: the trainer matches nothing in a relative one."""
    if "://" in data:
        raise UsageError(f"{data} is a URL: the trainer needs DATA as a folder of this machine.")
    if not os.path.isdir(data):
        raise UsageError(f"There is no folder {data}: name the one that holds the images.")
    return literal(os.path.realpath(data))


def table_file(table: str) -> str:
    """Check the table, and give its absolute path."""
    if "://" in table:
        raise UsageError(f"{table} is a URL: the trainer needs a copy of it on this machine.")
    if os.path.isdir(table):
        raise UsageError(f"{table} is a folder: name the merged table, the trainer reads one file.")
    if table.endswith((".json", ".jsonl")):
        raise UsageError(f"The trainer would read {table} as JSON: call it {table}.parquet.")
    with parquet.open_parquet(table) as file:
        parquet.check_columns(file, table, NAMED)
        if not file.metadata.num_rows:
            raise UsageError(f"{table} has no row, and the trainer nothing to train on: mend that.")
    return literal(os.path.realpath(table))


def out_file(out: str, data: str) -> str:
    """Check where the file goes, and give its real path, so that a link stays a link."""
    path = os.path.realpath(out)
    if not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"There is no folder for {out}: make it first.")
    if os.path.commonpath([path, data]) == data:
        raise UsageError(f"{out} would pass for a sidecar in {data}: write it elsewhere.")
    return path


def literal(path: str) -> str:
    """Refuse a path that the trainer would read as another one."""
    found = PLACEHOLDER.search(path)
    if found:
        raise UsageError(f"The trainer replaces {found.group()} in {path}: rename the folder.")
    return path


def cache_folder(chosen: str | None, data: str, name: str) -> str:
    """Give the absolute path of a cache; one that was chosen may hold the trainer's {…}."""
    return os.path.abspath(chosen or os.path.join(os.path.dirname(data), "cache", name))


def text_entry(entries: list[Entry], data: str, options: LoaderOptions) -> Entry:
    """Make the entry for the cache of text embeddings, under an id that is free."""
    taken = [entry.get("id") for entry in entries]
    names = (f"text-embeds-{number}" if number else "text-embeds" for number in count())
    return {
        "id": next(name for name in names if name not in taken),
        "type": "local",
        "dataset_type": "text_embeds",
        "default": True,
        "cache_dir": cache_folder(options.cache_dir_text, data, f"text/{options.id}"),
    }


def dataset_type(entry: Entry) -> str:
    """Tell what an entry is, as the trainer's ``data_backend/dataset_types.py`` does."""
    return str(entry.get("dataset_type") or "image").strip().lower()


def is_text_cache(entry: Entry) -> bool:
    """Tell whether an entry is a cache of text embeddings; the trainer passes over disabled ones.

    That is how ``_ensure_text_embed_backends_present`` of its ``data_backend/factory.py`` has it.
    """
    disabled = entry.get("disabled") or entry.get("disable")
    return dataset_type(entry) == "text_embeds" and not disabled


def with_entry(entries: list[Entry], entry: Entry) -> list[Entry]:
    """Replace the entry of the same id, or add this one at the end."""
    same = [other for other in entries if other.get("id") == entry["id"]]
    if not same:
        return [*entries, entry]
    if len(same) > 1:
        raise UsageError(f"{len(same)} entries have the id {entry['id']!r}: leave one of them.")
    kind = dataset_type(same[0])
    if kind != "image":
        raise UsageError(f"The id {entry['id']!r} is that of a {kind} entry: choose another one.")
    images = folder_of(same[0])
    if images and folder_exists(images) and not is_folder(images, entry["instance_data_dir"]):
        raise UsageError(
            f"The id {entry['id']!r} is that of the images in {images}: take that entry out, or"
            " choose another --id."
        )
    return [entry if other is same[0] else other for other in entries]


def folder_of(entry: Entry) -> str | None:
    """Give the folder of an entry's images, if that is known: an absolute path of this machine."""
    folder = entry.get("instance_data_dir")
    is_path = isinstance(folder, str) and os.path.isabs(folder) and "{" not in folder
    return str(folder) if is_path and entry.get("type", "local") == "local" else None


def folder_exists(folder: str) -> bool:
    """Tell whether what an entry has for the path of a folder is one."""
    try:
        return os.path.isdir(folder)
    except ValueError:  # no path has a NUL, nor half a character
        return False


def same_images(path: str, entries: list[Entry], name: str, data: str) -> list[str]:
    """Tell of each entry of the file under another name that has the images of a folder, too."""
    return [
        f"{path} has an entry {entry.get('id')!r} of the same images: take one of them out."
        for entry in entries
        if entry.get("id") != name and is_folder(entry.get("instance_data_dir"), data)
    ]


def without_images(path: str, entries: list[Entry], name: str) -> list[str]:
    """Tell of each entry of the file under another name whose images are not there any more."""
    return [
        f"The images of the entry {entry.get('id')!r} in {path} are not there: take it out."
        for entry in entries
        if entry.get("id") != name and (images := folder_of(entry)) and not folder_exists(images)
    ]


def is_folder(path: object, folder: str) -> bool:
    """Tell whether what an entry has for a path is that of a folder."""
    try:
        return isinstance(path, str) and os.path.realpath(path) == os.path.realpath(folder)
    except ValueError:  # no path has a NUL, nor half a character
        return False


def check_caches(entries: list[Entry], entry: Entry) -> None:
    """Refuse a latents cache that another entry has too, as the trainer's factory.py does."""
    mine = os.path.normpath(entry["cache_dir_vae"])
    for other in entries:
        folders = [other.get("cache_dir_vae"), other.get("cache_dir")]
        theirs = [os.path.normpath(folder) for folder in folders if isinstance(folder, str)]
        if other is not entry and mine in theirs:
            raise UsageError(
                f"The cache folder {mine} is also that of {other.get('id')!r}: choose another one."
            )


def read_entries(path: str) -> list[Entry]:
    """Read the trainer's file, if it is there, and nothing that is not one."""
    try:
        with open(path, "rb") as file:
            entries = json.loads(file.read())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CutlineError(f"{path} cannot be read ({error.strerror}): move it away.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: mend it or name another file.") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path} is no list of entries: mend it or name another file.")
    return entries
