"""Files that macOS, Windows or a NAS leaves beside others: no part of any dataset."""

from collections.abc import Sequence
from typing import Final

APPLE_DOUBLE: Final = b"._"
"""How the file begins that macOS writes beside a file, in archives and on foreign disks."""

NAMES: Final = frozenset({b".ds_store", b"thumbs.db", b"ehthumbs.db", b"desktop.ini"})

FOLDERS: Final = frozenset(
    {b"__macosx", b".appledouble", b"@eadir", b"$recycle.bin", b"system volume information"}
)
"""Of macOS, netatalk, Synology and Windows; these and the names above in small letters."""


def is_system_file(path: Sequence[bytes]) -> bool:
    """Return whether the components of a path are those of a system's own file or folder."""
    *folders, name = path
    return is_system_name(name) or not FOLDERS.isdisjoint(map(bytes.lower, folders))


def is_system_name(name: bytes) -> bool:
    """Return whether a file or folder of this name is a system's own."""
    return name.startswith(APPLE_DOUBLE) or (small := name.lower()) in NAMES or small in FOLDERS
