"""The folder of the images, listed once, by one process, in bounded memory.

What counts as an image is what SimpleTuner lists (`list_files` of its ``data_backend/local.py``):
files by extension, hidden ones too, and links to files.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final, TypeAlias

import pyarrow as pa

from cutline.record import texts
from cutline.sources import local_folder, passing_over
from cutline.store import disk, parquet
from cutline.trainers import simpletuner
from cutline.verify import checks, near_names
from cutline.verify.sorted_runs import SortedRun

IMAGE, CAPTION, SIDECAR = range(3)

FILES: Final = pa.schema(
    [
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("key", pa.binary(), nullable=False),
        pa.field("extension", pa.binary(), nullable=False),
    ]
)
"""A file: what it is, its path relative to the folder up to the last dot, and the rest."""

BATCH: Final = 2**16
"""Files that are held at a time."""

OURS: Final = os.fsencode(disk.OWN)

File: TypeAlias = tuple[int, bytes, bytes]
"""A line of `FILES`; a plain tuple, because millions pass."""


class Listing:
    """Images, caption files and sidecars below a folder.

    Attributes
    ----------
    counts
        How many there were so far of `IMAGE`, `CAPTION` and `SIDECAR`.
    linked
        The links to folders, which are not entered.
    unlisted
        The folders that cannot be listed, except those of the system.
    """

    def __init__(self, folder: str) -> None:
        self.root = os.fsencode(folder)
        self.counts = [0, 0, 0]
        self.linked = checks.Finding()
        self.unlisted = checks.Finding()

    def write(self, run: SortedRun) -> None:
        """Write all files into a sorted run."""
        files = self.files()
        while self._write_batch(islice(files, BATCH), run):
            pass

    def _write_batch(self, files: Iterable[File], run: SortedRun) -> bool:
        # Columns are filled as files come: of 600,000 files all of this takes 0.7 s, and a list of
        # tuples that is turned into columns at the end took 0.9 s more.
        kinds, keys, extensions = list[int](), list[bytes](), list[bytes]()
        for kind, key, extension in files:
            kinds.append(kind)
            keys.append(key)
            extensions.append(extension)
        run.add(map(near_names.group, keys), parquet.table_of([kinds, keys, extensions], FILES))
        for kind in (IMAGE, CAPTION, SIDECAR):
            self.counts[kind] += kinds.count(kind)
        return bool(keys)

    def files(self) -> Iterator[File]:
        """Yield the files, in the order of the file system."""
        folders = [b""]
        while folders:
            prefix = folders.pop()
            sidecars = deque[File]()
            with local_folder.scanned(self.root, prefix, self._refused) as entries:
                for entry in local_folder.with_kinds(_others(entries, prefix, sidecars)):
                    file = _file_of(entry, prefix)
                    if file is not None:
                        yield file
                    elif local_folder.answer(entry.is_dir) and prefix + entry.name != OURS:
                        self._enter(entry, prefix, folders)
                    while sidecars:
                        yield sidecars.popleft()
            yield from sidecars

    def _refused(self, error: OSError) -> None:
        path = os.path.relpath(error.filename, self.root)
        if not passing_over.is_of_system(os.path.basename(path)):
            self.unlisted += checks.found([f"{texts.shown_path(path)}: {error.strerror}"])

    def _enter(self, entry: os.DirEntry[bytes], prefix: bytes, folders: list[bytes]) -> None:
        path = prefix + entry.name
        if entry.is_symlink():
            self.linked += checks.found([texts.shown_path(path)])
        else:
            folders.append(path + b"/")


@lru_cache(1)
def _may_hold_sidecars(prefix: bytes) -> bool:
    return passing_over.may_hold_sidecars(prefix.split(b"/"))


def _others(
    entries: Iterable[os.DirEntry[bytes]], prefix: bytes, sidecars: deque[File]
) -> Iterator[os.DirEntry[bytes]]:
    """Yield the entries that have to be asked what they are; sidecars are by their names alone."""
    for entry in entries:
        if not passing_over.is_sidecar_name(entry.name):
            yield entry
        elif _may_hold_sidecars(prefix):  # a folder of that name is one too, that cannot be read
            stem, _, extension = entry.name.rpartition(b".")
            sidecars.append((SIDECAR, prefix + stem, b"." + extension))


def _file_of(entry: os.DirEntry[bytes], prefix: bytes) -> File | None:
    stem, _, extension = entry.name.rpartition(b".")
    if not stem or not local_folder.answer(entry.is_file):
        return None
    if extension == b"txt":
        return CAPTION, prefix + stem, b".txt"
    is_image = extension.lower() in simpletuner.IMAGES
    return (IMAGE, prefix + stem, b"." + extension) if is_image else None
