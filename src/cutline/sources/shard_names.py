"""Which tar shards there are, by their names alone."""

import glob
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Final, TypeAlias

from cutline.errors import UsageError
from cutline.sources.asking import GONE, RemoteError, asked
from cutline.sources.local_folder import answer
from cutline.sources.remote_file import open_filesystem
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
    """Open a SHARDS argument.

    Parameters
    ----------
    source
        A folder or an fsspec URL of shards, a shard, a glob of shards, or a list of shards.

    Raises
    ------
    UsageError
        There is no shard, or one is compressed.
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
    """Return the shards that a path, a URL or a glob names, compressed ones too."""
    if is_pattern(path) and not os.path.exists(path):
        return _matches(path)
    if is_shard_name(path) and not os.path.isdir(path):
        if "://" in path:
            open_filesystem(path)  # to refuse a URL that cannot be one
        elif not os.path.exists(path):
            raise FileNotFoundError(path)
        return [path]
    return [f"{path.rstrip('/')}/{name}" for name in _names_in(path) if is_shard_name(name)]


def _shard_set(paths: Iterable[disk.AnyPath], named: str) -> ShardSet:
    """Build the set of some paths or URLs; `named` is what the user called them."""
    found = sorted({_absolute(path) for path in paths})
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
    root = _common_folder(found)
    if not all(path.startswith(f"{root}/") for path in found):
        raise UsageError(
            f"The shards of {named} have no folder in common: name shards below one folder."
        )
    names = (path[len(root) + 1 :] for path in found)
    return ShardSet(root, tuple(sorted(names, key=os.fsencode)))


def _absolute(path: disk.AnyPath) -> str:
    """Make a path absolute; a URL is."""
    path = os.fspath(path)
    return path if "://" in path else disk.absolute(path)


def _common_folder(paths: Sequence[str]) -> str:
    levels = zip(*(posixpath.dirname(path).split("/") for path in paths), strict=False)
    return "/".join(level[0] for level in takewhile(lambda level: len({*level}) == 1, levels))


def _names_in(folder: str) -> Iterator[str]:
    """Yield the names of the files directly in a folder or URL, except hidden ones."""
    if "://" in folder:
        filesystem, root = open_filesystem(folder)
        for info in asked(folder, partial(filesystem.ls, root, detail=True)):
            name = posixpath.basename(info["name"])
            if info["type"] == "file" and not name.startswith("."):
                yield name
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and answer(entry.is_file):
                yield entry.name


def holds_shards(folder: str) -> bool:
    """Return whether a folder or a URL holds shards directly in it, and no sidecar.

    After an extraction both are in one folder, and the loose sidecars are the ones to use.
    """
    found = False
    for name in _names_in(folder):
        if name.endswith(".json"):
            return False
        found = found or is_shard_name(name)
    return found


def is_shard_name(name: str) -> bool:
    """Return whether a file is a shard by its name, or a compressed one."""
    return name.endswith((".tar", *PACKED))


def is_pattern(path: str) -> bool:
    """Return whether a path is a glob."""
    return glob.has_magic(path)


def _matches(pattern: str) -> list[str]:
    if "://" not in pattern:
        return glob.glob(pattern, recursive=True)
    filesystem, path = open_filesystem(pattern)
    found = asked(pattern, partial(filesystem.glob, path))
    return [filesystem.unstrip_protocol(each) for each in found]
