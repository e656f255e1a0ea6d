"""Where the files of a table are opened, listed, looked for, published and locked, by their names.

Only this package puts the path of a plan, a part, a reject, a ledger, a table or an index into
`open`, `os` or pyarrow. A store that is no disk is a class like `LocalDisk` and a line in `STORES`.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, Protocol, TypeAlias

import pyarrow as pa

from cutline.errors import UsageError
from cutline.store.workspace import LocalDisk

Version: TypeAlias = tuple[int, ...]
"""What tells a file from those that had its name before it or will have it."""


class TableStore(Hashable, Protocol):
    """Keeps the files of tables. Every task carries one, so it is small and can be pickled.

    Names are those of `TableFiles`. A name that nothing has is a FileNotFoundError.
    """

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for random access."""

    def version(self, name: str) -> Version:
        """Return what tells a file from others of its name."""

    def is_folder(self, name: str) -> bool:
        """Return whether a folder has this name, or files are below it."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names in a folder with their sizes in bytes; none if it is not there."""

    def check_table(self, name: str) -> None:
        """Raise UsageError if no table can be made under a name."""

    def publish(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Write a file that appears under its name complete, or not at all."""

    def publish_folder(self, name: str) -> AbstractContextManager[str]:
        """Fill a folder that appears under its name complete, or not at all.

        Yields the path of a folder on a disk to write into.
        """

    def make_folder(self, folder: str) -> None:
        """Make a folder, if it is not there."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder that is empty; it may be gone already."""

    def locked(
        self, folder: str, say: Callable[[str], None], *, force: bool, needed: Callable[[], int]
    ) -> "AbstractContextManager[TableStore]":
        """Hold the lock in a job's folder, and yield the store as only this run may publish in it.

        Parameters and what is raised are those of `Workspace.locked`.
        """


STORES: Final[dict[str, Callable[[], TableStore]]] = {"": LocalDisk}
"""What opens a store, by the scheme of its URLs; a path has none."""


def store_of(name: str) -> TableStore:
    """Return the store that a table of this name is in.

    Raises
    ------
    UsageError
        It is a URL that no store is for.
    """
    scheme, separator, _ = name.partition("://")
    kind = STORES.get(scheme if separator else "")
    if kind is None:
        raise UsageError(
            f"The table {name} is a URL: name a file on a disk that every worker sees."
        )
    return kind()
