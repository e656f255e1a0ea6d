"""The trainer's dataloader entry: SimpleTuner's ``multidatabackend.json``."""

import json
import os
import re
import shlex
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final, TypeAlias

from cutline.errors import CutlineError, UsageError, checked, flat
from cutline.progress import Summary
from cutline.store import disk, parquet, trouble
from cutline.trainers.simpletuner import DEFAULTS, LoaderOptions

Entry: TypeAlias = dict[str, Any]

COLUMNS: Final = ("caption", "filename", "width", "height")

# configuration/template_vars.py of the trainer replaces these wherever they stand in the file.
PLACEHOLDER: Final = re.compile(r"\{(?:id|model_family|output_dir|env:[^{}]+)\}")


@dataclass(frozen=True, slots=True, repr=False)
class EntrySummary(Summary):
    """What `add_entry` did: whether the entry was `written`, and what there is to tell users."""

    out: str
    id: str
    written: bool
    shortfall: str = ""
    lines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        body = asdict(self)
        del body["shortfall"], body["lines"]
        return {"job": "loader", **body}


@flat
@checked
def write_loader(
    table: disk.AnyPath,
    data: disk.AnyPath,
    out: disk.AnyPath,
    options: LoaderOptions = DEFAULTS,
) -> list[Entry]:
    """Write the dataset's entry into the trainer's file, which is made if it is not there.

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
    path = _out_file(os.fspath(out), entry["instance_data_dir"])
    folder = os.path.dirname(path)
    # The runs of two datasets that lie side by side may come here at the same moment.
    with trouble.in_words(path), disk.one_at_a_time(folder):
        entries = _with_entry(_read_entries(path), entry)
        if not any(_is_text_cache(other) for other in entries):
            entries.append(_text_entry(entries, entry["instance_data_dir"], options))
        _check_caches(entries, entry)
        # In ASCII, because escapes bring every folder's name through, even one that is not UTF-8.
        with disk.publish(path) as file:
            file.write(json.dumps(entries, indent=4).encode() + b"\n")
    return entries


def add_entry(table: str, data: str) -> EntrySummary:
    """Add the dataset's entry to ``multidatabackend.json`` beside the table, if it has none there.

    The entry's id is the table's name without ``.parquet``. An entry of this id stays as it is,
    because somebody may have changed it; `write_loader` replaces it. Nothing is raised: a refusal
    is the summary's shortfall, for the table and the caption files are there all the same.

    Parameters
    ----------
    table, data
        The table and the folder that its filenames are relative to.
    """
    out = entry_file(table)
    name = os.path.basename(table).removesuffix(".parquet")
    try:
        options = LoaderOptions(id=name)
        entries = _read_entries(out)
        mine = [entry for entry in entries if entry.get("id") == name]
        if mine:
            lines, shortfall = _about_own(mine[0], entries, out, table, data)
        else:
            write_loader(table, data, out, options)
            lines, shortfall = [], ""
        if not shortfall:
            lines += [*same_images(out, entries, name, data), *_without_images(out, entries, name)]
    except CutlineError as error:
        refused = f"The trainer's file {out} was not written: {error}"
        return EntrySummary(out, name, written=False, shortfall=refused)
    return EntrySummary(out, name, not mine, shortfall, tuple(lines))


def loader_entry(
    table: disk.AnyPath, data: disk.AnyPath, options: LoaderOptions = DEFAULTS
) -> Entry:
    """Build the dataset's own entry.

    Raises
    ------
    UsageError
        The trainer would refuse the table or the folder, or find nothing in it.
    """
    folder = _images_folder(os.fspath(data))
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
        **{name: _number(size, options) for name, size in sizes.items() if size},
        "resolution_type": options.resolution_type,
        "cache_dir_vae": _cache_folder(options.cache_dir_vae, folder, f"vae/{options.id}"),
        "caption_strategy": options.strategy,
        "metadata_backend": "parquet",
        "parquet": {
            "path": _table_file(os.fspath(table)),
            **{f"{column}_column": column for column in COLUMNS},
            "identifier_includes_extension": True,
        },
    }


def entry_file(table: str) -> str:
    """Return where `cutline run` leaves the trainer's file."""
    return beside(table, "multidatabackend.json")


def beside(table: str, name: str) -> str:
    """Return the path of what `cutline run` leaves beside a table."""
    return os.path.join(os.path.dirname(os.path.abspath(table)), name)


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


def _out_file(out: str, data: str) -> str:
    path = os.path.realpath(out)  # so that a link stays a link
    if not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"There is no folder for {out}: make it first.")
    if os.path.commonpath([path, data]) == data:
        raise UsageError(f"{out} would pass for a sidecar in {data}: write it elsewhere.")
    return path


def _literal(path: str) -> str:
    found = PLACEHOLDER.search(path)
    if found:
        raise UsageError(f"The trainer replaces {found.group()} in {path}: rename the folder.")
    return path


def _cache_folder(chosen: str | None, data: str, name: str) -> str:
    # One that was chosen may hold the trainer's placeholders.
    return os.path.abspath(chosen or os.path.join(os.path.dirname(data), "cache", name))


def _text_entry(entries: list[Entry], data: str, options: LoaderOptions) -> Entry:
    taken = [entry.get("id") for entry in entries]
    names = (f"text-embeds-{number}" if number else "text-embeds" for number in count())
    return {
        "id": next(name for name in names if name not in taken),
        "type": "local",
        "dataset_type": "text_embeds",
        "default": True,
        "cache_dir": _cache_folder(options.cache_dir_text, data, f"text/{options.id}"),
    }


def _dataset_type(entry: Entry) -> str:
    # As the trainer's data_backend/dataset_types.py has it.
    return str(entry.get("dataset_type") or "image").strip().lower()


def _is_text_cache(entry: Entry) -> bool:
    # As _ensure_text_embed_backends_present of the trainer's data_backend/factory.py has it.
    disabled = entry.get("disabled") or entry.get("disable")
    return _dataset_type(entry) == "text_embeds" and not disabled


def _with_entry(entries: list[Entry], entry: Entry) -> list[Entry]:
    same = [other for other in entries if other.get("id") == entry["id"]]
    if not same:
        return [*entries, entry]
    if len(same) > 1:
        raise UsageError(f"{len(same)} entries have the id {entry['id']!r}: leave one of them.")
    kind = _dataset_type(same[0])
    if kind != "image":
        raise UsageError(f"The id {entry['id']!r} is that of a {kind} entry: choose another one.")
    images = _folder_of(same[0])
    if images and _folder_exists(images) and not _is_folder(images, entry["instance_data_dir"]):
        raise UsageError(
            f"The id {entry['id']!r} is that of the images in {images}: take that entry out, or"
            " choose another --id."
        )
    return [entry if other is same[0] else other for other in entries]


def _folder_of(entry: Entry) -> str | None:
    # Only an absolute path of this machine is known to be the folder of the images.
    folder = entry.get("instance_data_dir")
    is_path = isinstance(folder, str) and os.path.isabs(folder) and "{" not in folder
    return str(folder) if is_path and entry.get("type", "local") == "local" else None


def _folder_exists(folder: str) -> bool:
    try:
        return os.path.isdir(folder)
    except ValueError:  # no path has a NUL, nor half a character
        return False


def same_images(path: str, entries: list[Entry], name: str, data: str) -> list[str]:
    """Return a sentence about each entry under another id that has the images of a folder, too."""
    return [
        f"{path} has an entry {entry.get('id')!r} of the same images: take one of them out."
        for entry in entries
        if entry.get("id") != name and _is_folder(entry.get("instance_data_dir"), data)
    ]


def _about_own(
    mine: Entry, entries: list[Entry], path: str, table: str, data: str
) -> tuple[list[str], str]:
    # Sentences about the dataset's entry that is there already, and its shortfall.
    name, images = mine["id"], _folder_of(mine)
    if images and not _folder_exists(images):
        again = shlex.join(["cutline", "loader", table, data, "--id", name])
        return [], (
            f"The images of the entry {name!r} in {path} are not there: replace it by `{again}`."
        )
    options = LoaderOptions(id=name)
    if (images and not _is_folder(images, data)) or (
        _with_entry(entries, loader_entry(table, data, options)) != entries
    ):
        return [f"{path} has an entry {name!r} of its own: left as it is."], ""
    return [], ""


def _without_images(path: str, entries: list[Entry], name: str) -> list[str]:
    return [
        f"The images of the entry {entry.get('id')!r} in {path} are not there: take it out."
        for entry in entries
        if entry.get("id") != name and (images := _folder_of(entry)) and not _folder_exists(images)
    ]


def _is_folder(path: object, folder: str) -> bool:
    try:
        return isinstance(path, str) and os.path.realpath(path) == os.path.realpath(folder)
    except ValueError:  # no path has a NUL, nor half a character
        return False


def _check_caches(entries: list[Entry], entry: Entry) -> None:
    # The trainer's factory.py refuses a cache of two entries, too.
    mine = os.path.normpath(entry["cache_dir_vae"])
    for other in entries:
        folders = [other.get("cache_dir_vae"), other.get("cache_dir")]
        theirs = [os.path.normpath(folder) for folder in folders if isinstance(folder, str)]
        if other is not entry and mine in theirs:
            raise UsageError(
                f"The cache folder {mine} is also that of {other.get('id')!r}: choose another one."
            )


def _read_entries(path: str) -> list[Entry]:
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
