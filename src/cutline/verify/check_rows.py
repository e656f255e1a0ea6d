"""What is wrong with rows of a table and their caption files, in one slice, on a worker."""

import errno
import io
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, Self, TypeAlias

import imagesize
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cutline import in_flight
from cutline.plan import marks
from cutline.record import TOO_LARGE, naming, texts
from cutline.sources import local_folder
from cutline.store import disk, parquet
from cutline.table import CompileOptions, Slice
from cutline.verify import checks
from cutline.verify.checks import Findings, found

TYPES: Final[dict[str, tuple[str, Callable[[pa.DataType], bool]]]] = {
    "width": ("a whole number", pa.types.is_integer),
    "height": ("a whole number", pa.types.is_integer),
    "caption": ("text", parquet.is_captions),
    "filename": ("text", parquet.is_text),
}

NO_FILE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENXIO}
"""How opening a name fails that is no file's; ENXIO is a socket's."""

Size: TypeAlias = tuple[int, int]
"""Width and height."""

HEAD: Final = 4_096
"""Bytes at the beginning of an image in which most say their size."""

UNREADABLE: Final = (-1, -1)
"""What imagesize returns for an image whose header does not tell its size."""


def check_schema(schema: pa.Schema) -> checks.Finding:
    """Check that a table has the four columns, of the right types."""
    return found(
        f"{name} is {_type_of(name, schema)}, not {kind}"
        for name, (kind, fits) in TYPES.items()
        if schema.get_field_index(name) < 0 or not fits(schema.field(name).type)
    )


def _type_of(name: str, schema: pa.Schema) -> str:
    fields = [str(field.type) for field in schema if field.name == name]
    return " and ".join(fields) or "not there"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a slice.

    Attributes
    ----------
    table
        The four columns.
    filenames, captions
        Two of them, as Python values.
    safe
        The positions of the rows whose filename leads to a file below the folder.
    keys
        The keys of these rows.
    """

    table: pa.Table
    filenames: list[str]
    captions: list[str | list[str | None] | None]
    safe: list[int]
    keys: list[bytes]

    @classmethod
    def read(cls, one: Slice) -> Self:
        """Read a slice of a table."""
        table = one.read(CompileOptions.COLUMNS)
        names, captions = table["filename"].to_pylist(), table["caption"].to_pylist()
        safe = [
            n for n, name in enumerate(names) if name is not None and not naming.path_fault(name)
        ]
        return cls(table, names, captions, safe, [naming.key(names[row]).encode() for row in safe])

    def paths(self) -> list[bytes]:
        """Return the filenames of the safe rows, in the bytes of the file system."""
        return [self.filenames[row].encode() for row in self.safe]


def check_cells(rows: Rows, first: int) -> Findings:
    """Check the cells of some rows; `first` is how many rows come before them in the table."""
    table, filenames = rows.table, rows.filenames
    small = pc.or_(_below_one(table["width"]), _below_one(table["height"]))
    blank = [caption is not None and _is_blank(caption) for caption in rows.captions]
    unsafe = np.array([name is not None for name in filenames], bool)
    unsafe[rows.safe] = False
    faulty = {
        "nulls": _any_null(table),
        "bad_sizes": pc.fill_null(small, fill_value=False).to_numpy(),
        "empty_captions": np.array(blank, bool),
        "unclean_captions": np.array(list(map(_is_unclean, rows.captions, blank)), bool),
        "unsafe_filenames": unsafe,
    }
    return {
        name: found(
            f"row {first + row:,}" if filenames[row] is None else filenames[row]
            for row in np.flatnonzero(mask).tolist()
        )
        for name, mask in faulty.items()
    }


def _below_one(edges: pa.ChunkedArray) -> pa.ChunkedArray:
    # By a 1 of their type: a uint64 may not fit that of Python.
    return pc.less(edges, pa.scalar(1, edges.type))


def _any_null(rows: pa.Table) -> npt.NDArray[np.bool_]:
    nulls = [rows[name].is_null().to_numpy() for name in CompileOptions.COLUMNS]
    every: npt.NDArray[np.bool_] = np.logical_or.reduce(nulls)
    return every


def _is_blank(caption: str | list[str | None]) -> bool:
    return not any(map(str.strip, texts.captions_in(caption)))


def _is_unclean(caption: str | list[str | None] | None, blank: bool) -> bool:  # noqa: FBT001 - a mask's cell
    return not blank and any(texts.clean(text) != text for text in texts.captions_in(caption))


def check_caption_files(data: str, rows: Rows) -> Findings:
    """Compare the caption files that are there with the table."""
    differing, edited, empty = list[str](), list[str](), list[str]()
    own = marks.OwnCaptions(data)
    paths = [stem + b".txt" for stem in rows.keys]
    with disk.open_folder(data) as root:
        read = in_flight.in_order(partial(read_caption, root), paths, partial(_read_small, root))
        for row, path, text in zip(rows.safe, paths, read, strict=True):
            caption = texts.caption_file(rows.captions[row])
            if text is None:
                continue
            if not text.strip():
                empty.append(texts.shown_path(path))
            elif caption and caption.strip() and text != caption.encode():
                modified = os.stat(path, dir_fd=root).st_mtime_ns
                other = differing if own.wrote(path, text, modified) else edited
                other.append(texts.shown_path(path))
    return {
        "differing_caption_files": found(differing),
        "edited_caption_files": found(edited),
        "empty_caption_files": found(empty),
    }


def _read_small(root: int, path: bytes) -> bytes | in_flight.Later | None:
    text = read_caption(root, path, in_flight.SMALL)
    return in_flight.LATER if text and len(text) >= in_flight.SMALL else text


def read_caption(root: int, path: bytes, most: int = TOO_LARGE) -> bytes | None:
    """Read a caption file: None if there is none, empty if it cannot be read.

    Of a file with more bytes than `most` at least so many are read.
    """
    try:
        file = os.open(path, local_folder.OPEN_FLAGS, dir_fd=root)
        try:
            return _read_whole(file, most)
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError:
        return b""


def _read_whole(file: int, most: int) -> bytes:
    data = os.read(file, 4096)  # which is all of almost every caption
    while len(data) % 4096 == 0 and len(data) < most and (more := os.read(file, min(most, 2**20))):
        data += more
    return data


def check_sizes(data: str, rows: Rows, chosen: list[int]) -> tuple[Findings, list[bytes]]:
    """Compare the sizes of some rows with what the images' own headers say.

    An image is turned as its EXIF orientation says, as the trainer does (`correct_image` of its
    ``image_manipulation/training_sample.py``). For a PNG or a WebP, the orientation is read only if
    its row has width and height the other way round: one whose row has its size before turning
    passes. What is no file, or an empty one, is skipped: other checks find it.

    Returns
    -------
    tuple
        The findings; and the filenames of what is broken: Pillow knows it for no image either.
    """
    wrong, unreadable = [], []
    columns = (rows.table[name].to_pylist() for name in CompileOptions.COLUMNS[:2])
    sizes = list(zip(*columns, strict=True))
    with disk.open_folder(data) as root:
        asked = [(rows.filenames[row], sizes[row]) for row in chosen]
        headers = in_flight.in_order(partial(_own_size, root), asked)
        for (filename, size), own in zip(asked, headers, strict=True):
            if own is None:
                continue
            if min(own) < 1:
                unreadable.append(filename)
            elif own != size and all(edge and edge > 0 for edge in size):  # bad_sizes has others
                wrong.append(f"{filename} ({own[0]}x{own[1]}, not {size[0]}x{size[1]})")
        broken = [filename for filename in unreadable if _is_broken(root, filename)]
    findings = {
        "wrong_sizes": found(wrong),
        "broken_images": found(broken),
        "unreadable_images": found(set(unreadable) - {*broken}),
    }
    return findings, [os.fsencode(filename) for filename in broken]


def _is_broken(root: int, filename: str) -> bool:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - hardly any image needs it

    if os.path.splitext(filename)[1].lower() not in Image.registered_extensions():
        return False  # of a format that Pillow lacks
    try:
        descriptor = os.open(filename, local_folder.OPEN_FLAGS, dir_fd=root)
        with open(descriptor, "rb") as file, Image.open(file):
            return False
    except UnidentifiedImageError:
        return True
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return False  # it cannot be read just now, or is damaged


def _own_size(root: int, row: tuple[str, Size]) -> Size | None:
    # None if it is no regular file, or an empty one. The row's size is what it should be.
    filename, size = row
    try:
        descriptor = os.open(filename, local_folder.OPEN_FLAGS, dir_fd=root)
    except OSError as error:
        return None if error.errno in NO_FILE else UNREADABLE
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None
        # Most images tell it at once: to ask an open file takes two more operations each.
        head = os.read(descriptor, HEAD)
        if size_in(io.BytesIO(head), size) == size:
            return size
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as file:
            return size_in(file, size)
    finally:
        os.close(descriptor)


def size_in(file: BinaryIO, size: Size) -> Size:
    """Return the size of an image as it is shown; `size` is what its row says."""
    own: Size = imagesize.get(file, exif_rotation=True)
    # imagesize does not see how a PNG or a WebP is turned. Pillow does, but may have to read all of
    # it, so it is asked only before a row is called wrong.
    swapped = own != size and own == size[::-1]
    return size if swapped and _is_turned(file) else own


def _is_turned(file: BinaryIO) -> bool:
    # By an EXIF orientation that swaps width and height.
    from PIL import ExifTags, Image  # noqa: PLC0415 - hardly any image needs it

    file.seek(0)
    try:
        with Image.open(file, formats=("PNG", "WEBP")) as image:
            return image.getexif().get(ExifTags.Base.Orientation) in {5, 6, 7, 8}
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return False  # another format, or damaged
