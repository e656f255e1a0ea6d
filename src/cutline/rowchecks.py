"""What is wrong with rows of a table and with their caption files: a slice on a worker."""

import os
from collections.abc import Callable, Iterable
from typing import Final

import imagesize
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cutline import checks
from cutline.checks import Findings, found
from cutline.options import COLUMNS
from cutline.records import TOO_LARGE, clean, key, path_fault
from cutline.sources import OPEN_FLAGS, OpenFolders

TYPES: Final[dict[str, tuple[str, Callable[[pa.DataType], bool]]]] = {
    "width": ("a whole number", pa.types.is_integer),
    "height": ("a whole number", pa.types.is_integer),
    "caption": ("text", lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind)),
    "filename": ("text", lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind)),
}


def check_schema(schema: pa.Schema) -> checks.Finding:
    """Look for the four columns of a table and their types."""
    return found(
        f"{name} is {schema.field(name).type if name in schema.names else 'not there'}, not {kind}"
        for name, (kind, fits) in TYPES.items()
        if schema.get_field_index(name) < 0 or not fits(schema.field(name).type)
    )


def check_rows(rows: pa.Table, first: int) -> Findings:
    """Look at the cells of some rows.

    Parameters
    ----------
    rows
        The rows, with the four columns.
    first
        How many rows of the table come before them; a row without a filename is shown by number.
    """
    captions, filenames = rows["caption"].to_pylist(), rows["filename"].to_pylist()
    small = pc.or_(pc.less(rows["width"], 1), pc.less(rows["height"], 1))
    blank = [caption is not None and not caption.strip() for caption in captions]
    faulty = {
        "nulls": any_null(rows),
        "bad_sizes": pc.fill_null(small, fill_value=False).to_numpy(),
        "empty_captions": np.array(blank, bool),
        "unclean_captions": np.array(list(map(is_unclean, captions, blank)), bool),
        "unsafe_filenames": np.array([is_unsafe(name) for name in filenames], bool),
    }
    return {
        name: found(
            f"row {first + row:,}" if filenames[row] is None else filenames[row]
            for row in np.flatnonzero(mask).tolist()
        )
        for name, mask in faulty.items()
    }


def any_null(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Tell which rows have a null in one of the four columns."""
    nulls = [rows[name].is_null().to_numpy() for name in COLUMNS]
    every: npt.NDArray[np.bool_] = np.logical_or.reduce(nulls)
    return every


def is_unclean(caption: str | None, blank: bool) -> bool:  # noqa: FBT001 - a mask's cell
    """Tell whether compiling would write a caption in another way."""
    return not blank and caption is not None and clean(caption) != caption


def is_unsafe(filename: str | None) -> bool:
    """Tell whether a filename leads elsewhere than to a file below the folder."""
    return filename is not None and path_fault(filename) is not None


def check_caption_files(data: str, rows: Iterable[tuple[str, str | None]]) -> Findings:
    """Compare the caption files that are there with the table.

    Parameters
    ----------
    data
        The folder of the images.
    rows
        Filenames that are safe, and their captions.
    """
    differing, empty = [], []
    with OpenFolders(data) as folders:
        for filename, caption in rows:
            path = key(filename) + ".txt"
            text = read_caption(folders, path.encode())
            if text is None:
                continue
            if not text.strip():
                empty.append(path)
            elif caption and caption.strip() and text != caption.encode():
                differing.append(path)
    return {"differing_caption_files": found(differing), "empty_caption_files": found(empty)}


def read_caption(folders: OpenFolders, path: bytes) -> bytes | None:
    """Read a caption file: None if there is none, and nothing if it cannot be read."""
    try:
        folder, name = folders.of(path)
        file = os.open(name, OPEN_FLAGS, dir_fd=folder)
        try:
            return read_whole(file)
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError:
        return b""


def read_whole(file: int) -> bytes:
    """Read a file; almost every caption comes in the first piece."""
    data = os.read(file, 4096)
    while len(data) % 4096 == 0 and len(data) < TOO_LARGE and (more := os.read(file, 2**20)):
        data += more
    return data


def check_sizes(data: str, rows: Iterable[tuple[str, tuple[int, int]]]) -> Findings:
    """Compare sizes with what the images' own headers say.

    As the trainer sees it (`correct_image` of its ``image_manipulation/training_sample.py``), an
    image is turned as its EXIF orientation says.
    """
    wrong, unreadable = [], []
    for filename, size in rows:
        try:
            own = imagesize.get(os.path.join(data, filename), exif_rotation=True)
        except FileNotFoundError:
            continue
        except Exception as error:  # noqa: BLE001 - whatever a spoilt header makes it raise
            unreadable.append(f"{filename} ({type(error).__name__})")
            continue
        if min(own) < 1:
            unreadable.append(filename)
        elif own != size:
            wrong.append(f"{filename} ({own[0]}x{own[1]}, not {size[0]}x{size[1]})")
    return {"wrong_sizes": found(wrong), "unreadable_images": found(unreadable)}
