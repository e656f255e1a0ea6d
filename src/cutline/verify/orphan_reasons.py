"""Images without row: why they have none, and which files are their own."""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa

from cutline import in_flight
from cutline.plan import ledger
from cutline.record import Reject, judging, naming
from cutline.sources import local_folder, passing_over
from cutline.store import parquet

KEYED_LEDGER: Final = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("filename", pa.binary()),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
"""A line of the ledger, and the key of the image that it is about."""

ORPHANS: Final = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("sidecar", pa.binary()),
        pa.field("caption", pa.binary()),
    ]
)


class Orphan(NamedTuple):
    """An image without row, or one that is none, or a caption file of nothing; paths are relative.

    `sidecar` and `caption` are the files of its own that are there.
    """

    path: bytes
    reason: str
    detail: str
    sidecar: bytes | None = None
    caption: bytes | None = None

    @property
    def is_stray(self) -> bool:
        """Whether it is a caption file and no image."""
        return self.reason == STRAY[0]

    @property
    def has_row(self) -> bool:
        """Whether it is an image that nobody can read, of which the table has a row."""
        return self.reason in {EMPTY_IMAGE[0], BROKEN_IMAGE[0]}


STRAY: Final = ("stray_caption_file", "it belongs to no image and to no row")

EMPTY_IMAGE: Final = ("empty_image", "it is a file with nothing in it")

BROKEN_IMAGE: Final = ("broken_image", "it holds something else, such as a web page")

NOT_COMPILED: Final = ("not_compiled", "its sidecar is neither in the table nor in the ledger")

NO_SIDECAR: Final = ("no_sidecar", "no sidecar names it")

SYSTEM_FILE: Final = ("system_file", "macOS, Windows or a NAS has left it")
"""The trainer lists also what is hidden, so these images have to go."""

READERS: Final = 8
"""Threads that read sidecars of orphans, each of which may be large."""

SHARD: Final = re.compile(r"^.*?\.tar/", re.IGNORECASE)

Sidecars: TypeAlias = dict[bytes, bytes]
"""The paths of sidecars by their keys."""

Line: TypeAlias = tuple[str, str, str]
"""Of the ledger: source, reason, detail."""


class Ledger:
    """Why images have no row: by filename, and by key where the record names none."""

    def __init__(self, lines: pa.Table) -> None:
        self.by_filename: dict[bytes, Line] = {}
        self.by_key: dict[bytes, Line] = {}
        for stem, filename, *line in zip(
            *(column.to_pylist() for column in lines.columns), strict=True
        ):
            if filename is None:
                self.by_key.setdefault(stem, tuple(line))
            else:
                self.by_filename.setdefault(filename, tuple(line))

    def line(self, path: bytes, key: bytes) -> Line | None:
        """Return the line about an image, if there is one."""
        return self.by_filename.get(path) or self.by_key.get(key)


def explain(
    images: Iterable[tuple[bytes, bytes]],
    ledger: Ledger,
    files: tuple[Sidecars, set[bytes]],
    root: int,
) -> Iterator[Orphan]:
    """Return images without row as orphans, each with the reason.

    Parameters
    ----------
    images
        The path and the key of each.
    ledger
        Why records gave no row.
    files
        The sidecars, and the keys of the caption files that may be theirs.
    root
        Their folder, open; a sidecar that the ledger does not know is read.
    """
    sidecars, captions = files

    def explained(image: tuple[bytes, bytes]) -> Orphan:
        path, stem = image
        caption = stem + b".txt" if stem in captions else None
        line = ledger.line(path, stem)
        sidecar = _sidecar_of(line[0], root) if line else None
        if sidecar is None:
            sidecar = _own_sidecar(path, stem, sidecars, root)
        if line:
            return Orphan(path, line[1], line[2], sidecar, caption)
        if passing_over.is_left_by_system(path.split(b"/")):
            return Orphan(path, *SYSTEM_FILE, None, caption)
        return Orphan(path, *(NOT_COMPILED if sidecar else NO_SIDECAR), sidecar, caption)

    return in_flight.in_order(explained, images, most=READERS)


def of_unusable(images: Iterable[bytes], reason: tuple[str, str], root: int) -> Iterator[Orphan]:
    """Return images that have a row, and cannot be used, as orphans of some reason and detail."""
    for path in images:
        stem = os.path.splitext(path)[0]
        named = ((key, key + end) for key in (stem, path) for end in (b".JSON", b".json"))
        sidecars = {key: name for key, name in named if local_folder.is_there(root, name)}
        caption = stem + b".txt" if local_folder.is_there(root, stem + b".txt") else None
        yield Orphan(path, *reason, _own_sidecar(path, stem, sidecars, root), caption)


def _own_sidecar(path: bytes, stem: bytes, sidecars: Sidecars, root: int) -> bytes | None:
    # That of ``x.jpg`` is ``x.json`` or ``x.jpg.json``. What the second names is its own affair.
    beside, behind = sidecars.get(stem), sidecars.get(path)
    if beside is not None and image_of(beside, root) in {None, path}:
        return beside
    return behind if behind is not None and image_of(behind, root) == path else None


def _sidecar_of(source: str, root: int) -> bytes | None:
    path = source.encode()
    steps = path.split(b"/")
    named = path.lower().endswith(b".json") and b"\0" not in path
    if not named or {b"", b".", b".."}.intersection(steps):
        return None
    return path if local_folder.is_there(root, path) else None


def image_of(sidecar: bytes, root: int) -> bytes | None:
    """Return which image a sidecar names: None if it names none or cannot be read."""
    _, data, _ = local_folder.read_file(root, sidecar)
    return image_in(sidecar, data)


def image_in(sidecar: bytes, data: bytes | Reject) -> bytes | None:
    """Return which image the bytes of a sidecar name, as `image_of` does."""
    record = data if isinstance(data, Reject) else judging.parse(data)
    if isinstance(record, Reject):
        return None
    filename = naming.image_filename(sidecar, record.get("image_name"))
    return None if isinstance(filename, Reject) else filename.encode()


def read_ledger(path: str) -> Iterator[pa.Table]:
    """Read the ledger, if there is one, a batch at a time, as `KEYED_LEDGER`."""
    for lines in ledger.read_lines(path):
        sources, reasons, details, filenames = lines.columns
        keys = map(_key_of, filenames.to_pylist(), sources.to_pylist())
        named = [pa.array(keys, pa.binary()), filenames.cast(pa.binary())]
        yield pa.table([*named, sources, reasons, details], KEYED_LEDGER)


def _key_of(filename: str | None, source: str) -> bytes:
    # A record that names no image is about the image of its sidecar's stem; in a shard, which was
    # extracted flat, the path starts after the shard's name.
    return naming.key(SHARD.sub("", source) if filename is None else filename).encode()


def write(orphans: list[Orphan], path: str) -> None:
    """Write orphans to a file."""
    with pa.ipc.new_file(path, ORPHANS) as file:
        file.write_table(parquet.table_of_rows(orphans, ORPHANS))


def read(paths: Iterable[str]) -> Iterator[Orphan]:
    """Read orphans, a file at a time."""
    for path in paths:
        with pa.memory_map(path) as file:
            table = pa.ipc.open_file(file).read_all()
            lines = zip(*(column.to_pylist() for column in table.columns), strict=True)
        yield from map(Orphan._make, lines)
