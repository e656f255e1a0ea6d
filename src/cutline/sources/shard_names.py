"""Which tar shards there are, by their names alone."""

import glob
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import Final, Literal, NamedTuple, TypeAlias

from cutline.errors import UsageError
from cutline.sources import shard_rules
from cutline.sources.local_folder import answer, with_kinds
from cutline.sources.passing_over import is_sidecar_name
from cutline.sources.remote_file import open_filesystem
from cutline.sources.server_refusals import GONE, RemoteError, asked
from cutline.sources.shard_rules import OTHER_ARCHIVE, is_shard, is_shard_name
from cutline.sources.tar_shards import Shards
from cutline.store import disk

Where: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""What names a source: a folder, a shard, a glob of shards, or a list of shards."""

Kind: TypeAlias = Literal["file", "folder", "link or a device"]

KINDS: Final[dict[str, Kind]] = {"file": "file", "directory": "folder"}
"""What fsspec calls what is in a folder."""

TELLING: Final = re.compile(r"\.(json|tar|t[gbxz]|zip|7z|rar)", re.IGNORECASE)
"""What the names of sidecars, shards and other archives hold."""

IMAGES: Final = re.compile(r"^\.|\.(txt|jpe?g|png|webp)$", re.IGNORECASE)
SIDECARS_TOO: Final = re.compile(rf"{IMAGES.pattern}|\.json$", re.IGNORECASE)
"""Names of files, and of what is hidden: to ask what kind each is takes as long as to read it."""

LOOKED_AT: Final = 1_000
"""Names in a folder one deeper that are looked at for shards: a folder of images has a million."""


@dataclass(frozen=True, slots=True)
class ShardSet:
    """Some tar shards: their names in the source, sorted, and the folder or URL that holds them."""

    root: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return self.root

    @property
    def source(self) -> Shards:
        """The source that reads them."""
        return Shards(self.root)


def open_shards(source: Where) -> ShardSet:
    """Open a SHARDS argument.

    Parameters
    ----------
    source
        A folder or an fsspec URL of shards, a shard, a glob of shards, or a list of shards.

    Raises
    ------
    UsageError
        There is no shard, or something that bears a shard's name is none that can be read.
    """
    if not isinstance(source, str | os.PathLike):
        return _shard_set(source, "the list")
    path = os.fspath(source)
    try:
        return _shard_set(shard_paths(path), path)
    except FileNotFoundError as error:
        raise _not_there(path) from error
    except RemoteError as error:
        raise _not_there(path) if error.status == GONE else error from error
    except OSError as error:
        raise UsageError(
            f"The shards {path} cannot be opened ({error}): correct the path or URL."
        ) from error


def _not_there(path: str) -> UsageError:
    return UsageError(f"{path} is not there: name *.tar files or their folder.")


def shard_paths(path: str) -> list[str]:
    """Return the shards that a path, a URL or a glob names, also those that cannot be read."""
    if is_pattern(path) and not os.path.exists(path):
        return _matches(path)
    named = is_shard_name(path) or OTHER_ARCHIVE.names.search(path)
    if named and not os.path.isdir(path):
        if "://" in path:
            open_filesystem(path)  # to refuse a URL that cannot be one
        elif not os.path.lexists(path):
            raise FileNotFoundError(path)
        return [path]
    return [f"{path.rstrip('/')}/{name}" for name in _shards_in(path)]


def shards_in_root(root: disk.AnyPath) -> list[str]:
    """Return the shards in the folder of a dataset, and in its ``data``, as the hub has them."""
    folders = (os.fspath(root), os.path.join(root, "data"))
    return [path for folder in folders if os.path.isdir(folder) for path in shard_paths(folder)]


def _shards_in(folder: str) -> list[str]:
    """Return the names in a folder that stand for shards; a remote one that is no file is refused.

    What a local one is, `shard_rules.check` finds out. A folder called like a shard may hold
    sidecars, and a ZIP file anything: both stand for a shard only beside one.
    """
    entries = list(_entries(folder))
    shards = [one for one in entries if one.kind != "folder" and is_shard_name(one.name)]
    if shards:
        folders = [one for one in entries if one.kind == "folder" and is_shard(one.name)]
        shards += folders + [one for one in entries if OTHER_ARCHIVE.names.search(one.name)]
    for one in shards:
        if "://" in folder and one.kind != "file":
            raise shard_rules.no_file(f"{folder}/{one.name}", f"a {one.kind}", shard_rules.RENAME)
    return [one.name for one in shards]


def passed_over(source: object, known: str = "") -> list[str]:
    """Return sentences about what looks like data in a local folder, and is not looked at there.

    Parameters
    ----------
    source
        What names a source; of all but a folder there is nothing to say.
    known
        A folder in it that is looked at, too.
    """
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    local = "://" not in path and os.path.isdir(path)
    return list(_passed_over(disk.absolute(path), known)) if local else []


def _passed_over(folder: str, known: str) -> Iterator[str]:
    entries = sorted(_entries(folder))
    others = [one.name for one in entries if OTHER_ARCHIVE.names.search(one.name)]
    if others and others[0] not in _shards_in(folder):
        yield (
            f"Passed over {len(others):,} files in {folder}, such as {others[0]}, which"
            f" {OTHER_ARCHIVE.what}: unpack what belongs to the dataset."
        )
    folders = [f"{folder}/{one.name}" for one in entries if one.kind == "folder"]
    if deeper := [path for path in folders if path != known and _has_shards(path)]:
        yield (
            f"Passed over the shards in {len(deeper):,} folders below {folder}: name a folder, such"
            f" as {deeper[0]}, or the glob '{folder}/*/*.tar'."
        )


def _has_shards(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(is_shard_name(one.name) for one in islice(entries, LOOKED_AT))
    except OSError:
        return False


def _shard_set(paths: Iterable[disk.AnyPath], named: str) -> ShardSet:
    """Build the set of some paths or URLs; `named` is what the user called them."""
    found = sorted({_absolute(path) for path in paths})
    if not found:
        mends = passed_over(named) or [
            f"No shard is named by {named}: name *.tar files, or a folder."
        ]
        raise UsageError(" ".join(mends))
    for path in found:
        shard_rules.check(path)
    root = _common_folder(found)
    if not all(path.startswith(f"{root}/") for path in found):
        raise UsageError(
            f"The shards of {named} have no folder in common: name shards below one folder."
        )
    names = (path[len(root) + 1 :] for path in found)
    return ShardSet(root, tuple(sorted(names, key=os.fsencode)))


def _absolute(path: disk.AnyPath) -> str:
    path = os.fspath(path)
    return path if "://" in path else disk.absolute(path)


def _common_folder(paths: Sequence[str]) -> str:
    levels = zip(*(posixpath.dirname(path).split("/") for path in paths), strict=False)
    return "/".join(level[0] for level in takewhile(lambda level: len({*level}) == 1, levels))


class _Listed(NamedTuple):
    name: str
    kind: Kind


def _entries(folder: str, passed: re.Pattern[str] = SIDECARS_TOO) -> Iterator[_Listed]:
    """Yield what is directly in a folder or URL and neither hidden nor, by its name, `passed`."""
    found: Iterable[_Listed]
    if "://" in folder:
        filesystem, root = open_filesystem(folder)
        found = (
            _Listed(posixpath.basename(one["name"]), KINDS.get(one["type"], "link or a device"))
            for one in asked(folder, partial(filesystem.ls, root, detail=True))
        )
        yield from (one for one in found if not one.name.startswith("."))
        return
    with os.scandir(folder) as entries:
        shown = (one for one in entries if not passed.search(one.name))
        for entry in with_kinds(shown):
            if answer(entry.is_dir):
                yield _Listed(entry.name, "folder")
            elif TELLING.search(entry.name):  # a million files have another name
                yield _Listed(entry.name, "file" if answer(entry.is_file) else "link or a device")


def holds_shards(folder: str) -> bool:
    """Return whether a folder or a URL holds shards directly in it, and no sidecar.

    After an extraction both are in one folder, and the loose sidecars are the ones to use.
    """
    found = False
    for name, kind in _entries(folder, IMAGES):
        if is_sidecar_name(os.fsencode(name)):
            return False
        found = found or (kind != "folder" and is_shard_name(name))
    return found


def is_pattern(path: str) -> bool:
    """Return whether a path is a glob."""
    return glob.has_magic(path)


def _matches(pattern: str) -> list[str]:
    if "://" not in pattern:
        return glob.glob(pattern, recursive=True)
    filesystem, path = open_filesystem(pattern)
    found = asked(pattern, partial(filesystem.glob, path))
    return [filesystem.unstrip_protocol(each) for each in found]
