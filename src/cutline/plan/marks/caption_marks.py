"""The marks of caption files: what `captions` has ever written below a folder, by its hashes.

A mark is 64 bits: the CRC-32 of the file's path and of its content. A task publishes those of its
files before it writes the first of them, so whatever is killed, a file without a mark is
somebody's. Files of marks are named by their content; the driver merges them when all is written.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cutline.plan.marks import shard_versions
from cutline.store import TableStore, Workspace

FOLDER: Final = "captions"
"""In the workspace of a folder of images: files of sorted marks, little-endian."""

FORM: Final = np.dtype("<u8")

Marks: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class OwnCaptions:
    """The caption files below DATA that are cutline's own; what it needs is read once it is asked.

    Attributes
    ----------
    data
        The folder of the images.
    """

    data: str

    def wrote(self, path: bytes, text: bytes, modified: int) -> bool:
        """Return whether `captions` wrote a file, or an extraction, and nobody since.

        Parameters
        ----------
        path
            Relative to the folder.
        text
            Its content.
        modified
            Its time of modification, in nanoseconds.
        """
        mark = np.uint64(crc32(path) << 32 | crc32(text))
        at = np.searchsorted(self._marks, mark)
        known = bool(at < len(self._marks) and self._marks[at] == mark)
        return known or self._known.birth_of(path, len(text), modified) is not None

    @cached_property
    def _marks(self) -> Marks:
        workspace = Workspace.below(self.data)
        own, store = f"{workspace.folder}/{FOLDER}", workspace.store("")
        return _read(own, store.sizes(own), store)

    @cached_property
    def _known(self) -> shard_versions.Known:
        return shard_versions.read(Workspace.below(self.data).folder)


def remember(files: Iterable[tuple[bytes, bytes]], folder: str, store: TableStore) -> str:
    """Publish the marks of files, given by path and content, before they are written.

    Returns
    -------
    str
        The name of the file of marks, for `merge`; empty if there are none.
    """
    marks = np.fromiter((crc32(path) << 32 | crc32(text) for path, text in files), np.uint64)
    return _publish(np.unique(marks), f"{folder}/{FOLDER}", store)


def merge(current: Collection[str], folder: str, store: TableStore, *, prune: bool) -> None:
    """Merge the files of marks to one.

    Parameters
    ----------
    current
        The names of those of this run.
    folder
        The folder of the workspace.
    store
        Where it is.
    prune
        Forget what a file held before, if this run wrote or left it: a user may want that back.
    """
    own = f"{folder}/{FOLDER}"
    there = store.sizes(own)
    new, old = _read(own, current, store), _read(own, there.keys() - current, store)
    if prune:
        old = old[~np.isin(old >> np.uint64(32), new >> np.uint64(32))]
    name = _publish(np.union1d(old, new), own, store)
    for other in there.keys() - {name}:
        store.remove(f"{own}/{other}")


def _publish(marks: Marks, own: str, store: TableStore) -> str:
    if not len(marks):
        return ""
    data = marks.astype(FORM).tobytes()
    name = blake2b(data, digest_size=16).hexdigest()
    if name not in store.sizes(own):
        store.make_folder(own)  # also if it is there: it may be a link
        with store.publish(f"{own}/{name}") as file:
            file.write(data)
    return name


def _read(own: str, names: Iterable[str], store: TableStore) -> Marks:
    found = [np.zeros(0, FORM)]
    for name in filter(None, names):
        with store.open(f"{own}/{name}") as file:
            data = file.read()
        found.append(np.frombuffer(data[: len(data) // 8 * 8], FORM))
    return np.unique(np.concatenate(found)).astype(np.uint64)
