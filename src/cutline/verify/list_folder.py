"""The folder of the images, listed once, by one process, in bounded memory.

What counts as an image is what SimpleTuner lists (`list_files` of its ``data_backend/local.py``):
files by extension, hidden ones too, and links to files.
"""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import islice
from typing import Final, TypeAlias

import pyarrow as pa

from cutline import in_flight
from cutline.record import texts
from cutline.sources import local_folder, passing_over
from cutline.store import disk, parquet
from cutline.trainers import simpletuner
from cutline.verify import checks, near_names
from cutline.verify.sorted_runs import SortedRun

IMAGE, CAPTION, SIDECAR, EMPTY = range(4)
"""What a file is; the last is an image with nothing in it."""

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

HELD: Final = 2**12
"""Entries of a folder that are held at a time, of which each may take 1 kB with what it told."""

OURS: Final = os.fsencode(disk.OWN)

File: TypeAlias = tuple[int, bytes, bytes]
"""A line of `FILES`; a plain tuple, because millions pass."""


class Listing:
    """Images, caption files and sidecars below a folder.

    Attributes
    ----------
    counts
        How many there were so far of each kind.
    linked
        The links to folders, which are not entered.
    unlisted
        The folders that cannot be listed, except those of the system.
    """

    def __init__(self, folder: str) -> None:
        self.root = os.fsencode(folder)
        self.counts = [0, 0, 0, 0]
        self.linked = checks.Finding()
        self.unlisted = checks.Finding()

    def write(self, run: SortedRun) -> None:
        """Write all files into a sorted run."""
        files = self.files()
        while self._write_batch(islice(files, BATCH), run):
            pass

    def _write_batch(self, files: Iterable[File], run: SortedRun) -> bool:
        # Columns are filled as files come: of 600,000 files a list of tuples that is turned into
        # columns at the end took 0.9 s more, where all of this took 0.7.
        kinds, keys, extensions = list[int](), list[bytes](), list[bytes]()
        for kind, key, extension in files:
            kinds.append(kind)
            keys.append(key)
            extensions.append(extension)
        run.add(map(near_names.group, keys), parquet.table_of([kinds, keys, extensions], FILES))
        for kind in range(len(self.counts)):
            self.counts[kind] += kinds.count(kind)
        return bool(keys)

    def files(self) -> Iterator[File]:
        """Yield the files, a batch after the other as the file system lists them."""
        folders = [b""]
        while folders:
            prefix = folders.pop()
            with local_folder.scanned(self.root, prefix, self._refused) as entries:
                while batch := [*islice(entries, HELD)]:
                    yield from self._files_among(batch, prefix, folders)

    def _files_among(
        self, batch: list[os.DirEntry[bytes]], prefix: bytes, folders: list[bytes]
    ) -> Iterator[File]:
        images, others = list[os.DirEntry[bytes]](), list[os.DirEntry[bytes]]()
        for entry in batch:
            # A folder named like a sidecar is one too, that cannot be read.
            if passing_over.is_sidecar_name(entry.name) and _may_hold_sidecars(prefix):
                stem, _, extension = entry.name.rpartition(b".")
                yield SIDECAR, prefix + stem, b"." + extension
            elif entry.name.rpartition(b".")[2].lower() in simpletuner.IMAGES:
                images.append(entry)
            else:
                others.append(entry)
        # Apart, for they do not take equally long to tell what is asked.
        for group, look in ((images, _image_of), (others, _caption_of)):
            files = in_flight.in_order(partial(look, prefix), group)
            for entry, file in zip(group, files, strict=True):
                if file is not None:
                    yield file
                elif local_folder.answer(entry.is_dir) and prefix + entry.name != OURS:
                    self._enter(entry, prefix, folders)

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


def _image_of(prefix: bytes, entry: os.DirEntry[bytes]) -> File | None:
    stem, _, extension = entry.name.rpartition(b".")
    if not stem or not local_folder.answer(entry.is_file):
        return None
    is_empty = local_folder.answer(lambda: not entry.stat().st_size)
    return EMPTY if is_empty else IMAGE, prefix + stem, b"." + extension


def _caption_of(prefix: bytes, entry: os.DirEntry[bytes]) -> File | None:
    stem, _, extension = entry.name.rpartition(b".")
    is_caption = local_folder.answer(entry.is_file) and stem and extension == b"txt"
    return (CAPTION, prefix + stem, b".txt") if is_caption else None
