"""The trainer's dataloader entry: SimpleTuner's ``multidatabackend.json``."""

import json
import os
import shlex
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

from cutline.errors import CutlineError, UsageError, checked, flat
from cutline.progress import Summary
from cutline.sources import passing_over
from cutline.store import TableFiles, disk, trouble
from cutline.trainers import too_small, webshart
from cutline.trainers.entry_fields import (
    PLACES,
    Entry,
    cache_folder,
    caches_home,
    images_of,
    loader_entry,
)
from cutline.trainers.in_shards import shards_of
from cutline.trainers.simpletuner import DEFAULTS, LoaderOptions


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

    def in_words(self) -> str:
        """Return where the entry is, in short."""
        if self.shortfall:
            return f"the entry {self.id} is not what it must be; {self.out}"
        return f"the entry {self.id} is {'new' if self.written else 'as it was'}; {self.out}"


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
        The table and the folder that its filenames are relative to; for ``webshart``, the folder
        of its shards.
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
    path = _out_file(os.fspath(out), entry)
    folder = os.path.dirname(path)
    # The runs of two datasets that lie side by side may come here at the same moment.
    with trouble.in_words(path), disk.one_at_a_time(folder):
        entries = _with_entry(_read_entries(path), entry)
        if not any(_is_text_cache(other) for other in entries):
            home = caches_home(table, data, options)
            entries.append(_text_entry(entries, options.cache_dir_text, entry["id"], home))
        _check_caches(entries, entry)
        # In ASCII, because escapes bring every folder's name through, even one that is not UTF-8.
        with disk.publish(path) as file:
            file.write(json.dumps(entries, indent=4).encode() + b"\n")
    return entries


def add_entry(table: str, data: str, options: LoaderOptions = DEFAULTS) -> EntrySummary:
    """Add the dataset's entry to ``multidatabackend.json`` beside the table, if it has none there.

    An entry of this id stays as it is, because somebody may have changed it; `write_loader`
    replaces it. Nothing is raised: a refusal is the summary's shortfall, for the table and the
    caption files are there all the same.

    Parameters
    ----------
    table, data, options
        As for `write_loader`.
    """
    out, name = entry_file(table), options.name_for(table)
    try:
        options = replace(options, id=name)
        entries = _read_entries(out)
        mine = [entry for entry in entries if entry.get("id") == name]
        lines, shortfall = list[str](), ""
        if mine:
            entry = loader_entry(table, data, options)
            lines, shortfall = _about_own(mine[0], entry, entries, out, table)
        else:
            entries = write_loader(table, data, out, options)
        small = None if shortfall else _too_small(entries, name, table)
        if small and not small.others:
            shortfall = small.in_words(name, out)
        elif small:
            lines.append(small.in_words(name, out))
        if not shortfall:
            lines += [*same_images(out, entries, name, data), *_without_images(out, entries, name)]
        lines += about_caches(out, table)
    except CutlineError as error:
        refused = f"The trainer's file {out} was not written: {error}"
        return EntrySummary(out, name, written=False, shortfall=refused)
    return EntrySummary(out, name, not mine, shortfall, tuple(lines))


def entry_file(table: str) -> str:
    """Return where `cutline run` leaves the trainer's file."""
    return beside(table, "multidatabackend.json")


def folder_of(table: str, options: LoaderOptions = DEFAULTS) -> str:
    """Return the folder that the trainer is to read, if the user names none.

    Raises
    ------
    UsageError
        It is that of the shards, and there are none beside the table or in ``data`` there.
    """
    return shards_of(table).root if options.strategy == "webshart" else beside(table, "data")


def beside(table: str, name: str) -> str:
    """Return the path of what `cutline run` leaves beside a table."""
    return os.path.join(os.path.dirname(os.path.abspath(table)), name)


def _out_file(out: str, entry: Entry) -> str:
    path, data = os.path.realpath(out), images_of(entry)  # so that a link stays a link
    if not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"There is no folder for {out}: make it first.")
    # Beside shards a name that the listing passes over will do, for nobody lists images there.
    harmless = entry["type"] == "webshart" and not passing_over.is_sidecar_name(
        os.fsencode(os.path.basename(path))
    )
    if os.path.commonpath([path, data]) == data and not harmless:
        raise UsageError(f"{out} would pass for a sidecar in {data}: write it elsewhere.")
    return path


def _text_entry(entries: list[Entry], chosen: str | None, name: str, home: str) -> Entry:
    taken = [entry.get("id") for entry in entries]
    names = (f"text-embeds-{number}" if number else "text-embeds" for number in count())
    return {
        "id": next(name for name in names if name not in taken),
        "type": "local",
        "dataset_type": "text_embeds",
        "default": True,
        "cache_dir": cache_folder(chosen, home, f"text/{name}"),
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
    if images and os.path.isdir(images) and not _is_folder(images, images_of(entry)):
        raise UsageError(
            f"The id {entry['id']!r} is that of the images in {images}: take that entry out, or"
            " choose another --id."
        )
    return [entry if other is same[0] else other for other in entries]


def _folder_of(entry: Entry) -> str | None:
    # Only an absolute path of this machine is known to be the folder of the images.
    folder = images_of(entry)
    is_path = isinstance(folder, str) and os.path.isabs(folder) and "{" not in folder
    return str(folder) if is_path and entry.get("type", "local") in PLACES else None


def same_images(path: str, entries: list[Entry], name: str, data: str) -> list[str]:
    """Return a sentence about each entry under another id that has the images of a folder, too."""
    return [
        f"{path} has an entry {entry.get('id')!r} of the same images: take one of them out."
        for entry in entries
        if entry.get("id") != name and _is_folder(images_of(entry), data)
    ]


def stale_caches(path: str, table: str) -> list[str]:
    """Return the folders in which webshart keeps an older index of a table, by the entries there.

    Raises what `write_loader` raises for a file that is no list of entries.
    """
    index = TableFiles.of(table).webshart
    caches = [
        entry["webshart"].get("cache_dir")
        for entry in _read_entries(path)
        if _is_folder(entry.get("metadata"), index) and isinstance(entry.get("webshart"), dict)
    ]
    return [one for one in caches if isinstance(one, str) and webshart.is_stale(one, index)]


def about_caches(path: str, table: str) -> list[str]:
    """Return a sentence about each of the `stale_caches`."""
    return [
        f"The index of {table} is newer than what webshart keeps of it and never looks at again:"
        f" remove that before you train, `{shlex.join(['rm', '-r', cache])}`."
        for cache in stale_caches(path, table)
    ]


def _about_own(
    mine: Entry, entry: Entry, entries: list[Entry], path: str, table: str
) -> tuple[list[str], str]:
    # Sentences about the dataset's entry that is there already, and its shortfall.
    name, images, data = mine["id"], _folder_of(mine), images_of(entry)
    again = ["cutline", "loader", table, data, "--id", name]
    if entry["caption_strategy"] != DEFAULTS.strategy:
        again += ["--strategy", entry["caption_strategy"]]
    if images and not os.path.isdir(images):
        return [], (
            f"The images of the entry {name!r} in {path} are not there: replace it by"
            f" `{shlex.join(again)}`."
        )
    if (images and not _is_folder(images, data)) or _with_entry(entries, entry) != entries:
        kept = f"{path} has an entry {name!r} of its own: left as it is."
        return [kept, f"`{shlex.join(again)}` replaces it."], ""
    return [], ""


def about_sizes(path: str, entries: list[Entry], name: str, table: str) -> list[str]:
    """Return a sentence if the entry of a name leaves out rows of a table as too small."""
    small = _too_small(entries, name, table)
    return [small.in_words(name, path)] if small else []


def _too_small(entries: list[Entry], name: str, table: str) -> too_small.Small | None:
    return too_small.rows_below(table, next(one for one in entries if one.get("id") == name))


def _without_images(path: str, entries: list[Entry], name: str) -> list[str]:
    return [
        f"The images of the entry {entry.get('id')!r} in {path} are not there: take it out."
        for entry in entries
        if entry.get("id") != name and (images := _folder_of(entry)) and not os.path.isdir(images)
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
