"""Which tar shards there are, by their names alone."""

import glob
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, TypeAlias

from cutline.errors import UsageError
from cutline.sources.local_folder import answer
from cutline.sources.remote_file import open_filesystem, refusals
from cutline.sources.tar_shards import Shards
from cutline.store import disk

Where: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""What names a source: a folder, a shard, a glob of shards, or a list of shards."""

PACKED: Final = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")


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
    """Take a SHARDS argument: a folder or a URL of shards, a shard, a glob or a list of shards.

    Raises
    ------
    UsageError
        There is none, or one is packed.
    """
    if not isinstance(source, str | os.PathLike):
        return shard_set(source, "the list")
    path = os.fspath(source)
    try:
        return shard_set(shard_paths(path), path)
    except FileNotFoundError as error:
        raise UsageError(f"{path} is not there: name *.tar files or their folder.") from error
    # An unknown protocol; a package that it needs; a server that does not answer.
    except refusals(ValueError, ImportError) as error:
        raise UsageError(f"The shards {path} cannot be opened ({error}): correct that.") from error


def shard_paths(path: str) -> list[str]:
    """Find the shards that a path, a URL or a glob names, packed ones too."""
    if is_pattern(path) and not os.path.exists(path):
        return matches(path)
    if is_shard_name(path) and not os.path.isdir(path):
        if "://" in path:
            open_filesystem(path)  # which refuses a URL that cannot be one
        elif not os.path.exists(path):
            raise FileNotFoundError(path)
        return [path]
    return [f"{path.rstrip('/')}/{name}" for name in names_in(path) if is_shard_name(name)]


def shard_set(paths: Iterable[disk.AnyPath], named: str) -> ShardSet:
    """Take some paths or URLs as shards; `named` is what the user called them.

    Raises
    ------
    UsageError
        There is none, or one is packed or no tar file by its name.
    """
    found = sorted({absolute(path) for path in paths})
    if not found:
        raise UsageError(f"No shard is named by {named}: name *.tar files, or a folder.")
    for path in found:
        if path.endswith(PACKED):
            raise UsageError(
                f"The shard {path} is compressed, and only .tar is read: unpack it and move it"
                " away."
            )
        if not path.endswith(".tar"):
            raise UsageError(f"The file {path} is no .tar shard: name *.tar files, or a folder.")
    root = common_folder(found)
    if not all(path.startswith(f"{root}/") for path in found):
        raise UsageError(f"The shards of {named} have no folder in common: name those of one.")
    names = (path[len(root) + 1 :] for path in found)
    return ShardSet(root, tuple(sorted(names, key=os.fsencode)))


def absolute(path: disk.AnyPath) -> str:
    """Make a path absolute; a URL is."""
    path = os.fspath(path)
    return path if "://" in path else disk.absolute(path)


def common_folder(paths: Sequence[str]) -> str:
    """Find the folder or URL that all paths are below."""
    levels = zip(*(posixpath.dirname(path).split("/") for path in paths), strict=False)
    return "/".join(level[0] for level in takewhile(lambda level: len({*level}) == 1, levels))


def names_in(folder: str) -> Iterator[str]:
    """List the names in a folder or directly below a URL, but for hidden ones and for folders."""
    if "://" in folder:
        filesystem, root = open_filesystem(folder)
        for info in filesystem.ls(root, detail=True):
            name = posixpath.basename(info["name"])
            if info["type"] == "file" and not name.startswith("."):
                yield name
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and answer(entry.is_file):
                yield entry.name


def holds_shards(folder: str) -> bool:
    """Tell whether a folder or a URL is one of shards: it holds some directly, and no sidecar.

    Sidecars win: after an extraction both are in one folder, and the loose ones are what is used.
    """
    found = False
    for name in names_in(folder):
        if name.endswith(".json"):
            return False
        found = found or is_shard_name(name)
    return found


def is_shard_name(name: str) -> bool:
    """Tell by its name whether a file is a shard, or a packed one."""
    return name.endswith((".tar", *PACKED))


def is_pattern(path: str) -> bool:
    """Tell whether a path is a glob."""
    return glob.has_magic(path)


def matches(pattern: str) -> list[str]:
    """Find what a glob names, on a disk or behind a URL."""
    if "://" not in pattern:
        return glob.glob(pattern, recursive=True)
    filesystem, path = open_filesystem(pattern)
    return [filesystem.unstrip_protocol(found) for found in filesystem.glob(path)]
