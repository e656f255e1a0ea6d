"""What a listing passes over by its name: what other jobs, the trainer and systems put there."""

import re
from collections.abc import Iterable
from typing import Final

_OURS: Final = re.compile(rb".+\.(cutline|webshart)")
"""A job's own files, and an index of shards. `X.parts` holds no sidecar: it need not be known."""

_SYSTEMS: Final = re.compile(
    rb"lost\+found|\.Trash(-\d+|es)?|\$RECYCLE\.BIN|RECYCLER|System Volume Information|@eaDir"
    rb"|#recycle|#snapshot|\.(snapshots?|zfs|Spotlight-V100|fseventsd|TemporaryItems)",
    re.IGNORECASE,
)
"""Folders that a file system or a desktop keeps; often only root can list them."""


def is_sidecar_name(name: bytes) -> bool:
    """Return whether a file of this name is a sidecar, as far as the name tells.

    SimpleTuner reads and writes JSON files of its own in the folder of the images.

    Examples
    --------
    >>> is_sidecar_name(b"a.json"), is_sidecar_name(b"aspect_ratio_bucket_indices_x.json")
    (True, False)
    """
    own = name.startswith(b"aspect_ratio_bucket_") or name == b"multidatabackend.json"
    return name.endswith(b".json") and not own and not name.startswith(b".")


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


def is_of_system(folder: bytes) -> bool:
    """Return whether a folder of this name belongs to a file system or a desktop."""
    return _SYSTEMS.fullmatch(folder) is not None
