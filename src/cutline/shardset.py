"""Which tar shards there are, by their names alone."""

import glob
import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import fsspec

from cutline.errors import UsageError
from cutline.shards import Shards

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


def shard_set(paths: Iterable[str], named: str) -> ShardSet:
    """Take some paths or URLs as shards; `named` is what the user called them.

    Raises
    ------
    UsageError
        There is none, or one is packed or no tar file by its name.
    """
    found = sorted({absolute(path) for path in paths})
    if not found:
        raise UsageError(f"No shard is named by {named}: name *.tar files or their folder.")
    for path in found:
        if path.endswith(PACKED):
            raise UsageError(f"The shard {path} is compressed, and only .tar is read: unpack it.")
        if not path.endswith(".tar"):
            raise UsageError(f"The shard {path} is no .tar file: name *.tar files or their folder.")
    root = common_folder(found)
    if not all(path.startswith(f"{root}/") for path in found):
        raise UsageError(f"The shards of {named} have no folder in common: name those of one.")
    names = (path[len(root) + 1 :] for path in found)
    return ShardSet(root, tuple(sorted(names, key=os.fsencode)))


def absolute(path: str) -> str:
    """Make a path absolute; a URL is."""
    return path if "://" in path else os.path.abspath(path)


def common_folder(paths: Sequence[str]) -> str:
    """Find the folder or URL that all paths are below."""
    levels = zip(*(posixpath.dirname(path).split("/") for path in paths), strict=False)
    return "/".join(level[0] for level in takewhile(lambda level: len({*level}) == 1, levels))


def shards_in(folder: str) -> list[str]:
    """Find the shards directly in a local folder, packed ones too; none if sidecars are there.

    Sidecars win: after an extraction both are in one folder, and the loose ones are what is used.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.endswith(".json"):
                return []
            if is_shard_name(entry.name) and entry.is_file():
                found.append(entry.path)
    return found


def shards_at(url: str) -> list[str]:
    """Find the shards directly below a URL, as `shards_in` does."""
    filesystem, root = fsspec.url_to_fs(url)
    names = [posixpath.basename(path) for path in filesystem.ls(root, detail=False)]
    seen = [name for name in names if not name.startswith(".")]
    if any(name.endswith(".json") for name in seen):
        return []
    return [f"{url.rstrip('/')}/{name}" for name in seen if is_shard_name(name)]


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
    filesystem, path = fsspec.url_to_fs(pattern)
    return [filesystem.unstrip_protocol(found) for found in filesystem.glob(path)]
