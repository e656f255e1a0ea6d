"""What is passed over by its name: what other jobs, the trainer and systems leave among samples."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from cutline.record import naming

_OURS: Final = re.compile(rb".+\.(cutline|webshart)")
"""A job's own files, and an index of shards. `X.parts` holds no sidecar: it need not be known."""

_SYSTEM_FOLDERS: Final = re.compile(
    rb"lost\+found|\.Trash(-\d+|es)?|\$RECYCLE\.BIN|RECYCLER|System Volume Information|@eaDir"
    rb"|#recycle|#snapshot|\.(snapshots?|zfs|Spotlight-V100|fseventsd|TemporaryItems|AppleDouble)"
    rb"|__MACOSX",
    re.IGNORECASE,
)
"""Folders that a file system, a desktop or a NAS keeps; often only root can list them."""

_SYSTEM_FILES: Final = re.compile(
    rb"\._.*|\.DS_Store|(eh)?thumbs\.db|desktop\.ini", re.IGNORECASE | re.DOTALL
)
"""Files that macOS and Windows write beside others; the first are AppleDouble's."""


def is_sidecar_name(name: bytes) -> bool:
    """Return whether a file of this name is a sidecar, as far as the name tells.

    SimpleTuner reads and writes JSON files of its own in the folder of the images, and an index of
    wids may be beside its shards.

    Examples
    --------
    >>> is_sidecar_name(b"a.JSON"), is_sidecar_name(b"aspect_ratio_bucket_indices_x.json")
    (True, False)
    """
    # 0.6 us for each of a million names; to lower the end of each would take 0.8.
    if not (name.endswith(b".json") or name[-5:].lower() == b".json"):
        return False
    if name.endswith(b".wids.json"):
        return False
    return not name.startswith((b".", b"aspect_ratio_bucket_")) and name != b"multidatabackend.json"


def is_file_name(name: bytes) -> bool:
    """Return whether hardly anything but a file of a sample has this name.

    Examples
    --------
    >>> is_file_name(b"a.jpg"), is_file_name(b"v1.0"), is_file_name(b"00000.tar")
    (True, False, False)
    """
    return is_sidecar_name(name) or naming.is_image(name) or name.endswith(b".txt")


def may_hold_sidecars(folders: Iterable[bytes]) -> bool:
    """Return whether a sidecar below folders of these names is one of the source.

    Examples
    --------
    >>> may_hold_sidecars([b"cats", b"car.parts"]), may_hold_sidecars([b"x.webshart"])
    (True, False)
    """
    return not any(
        (name.startswith(b".") and name != b"..") or _OURS.fullmatch(name) or is_of_system(name)
        for name in folders
    )


def is_sidecar(path: Sequence[bytes]) -> bool:
    """Return whether the components of a path are those of a sidecar, as in a local folder.

    Hidden files and a system's own are not. A folder named ``x.json`` is one that cannot be read.
    """
    *folders, name = path
    inside = any(map(is_sidecar_name, folders))
    return is_sidecar_name(name) and not inside and may_hold_sidecars(folders)


def is_of_system(folder: bytes) -> bool:
    """Return whether a folder of this name belongs to a file system, a desktop or a NAS."""
    return _SYSTEM_FOLDERS.fullmatch(folder) is not None


def is_left_by_system(path: Sequence[bytes]) -> bool:
    """Return whether the components of a path are those of a file or folder that a system left."""
    return _SYSTEM_FILES.fullmatch(path[-1]) is not None or any(map(is_of_system, path))
