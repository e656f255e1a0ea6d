"""The names of everything that belongs to a table."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cutline.errors import UsageError
from cutline.store.disk import AnyPath, absolute
from cutline.store.table_store import TableStore, store_of
from cutline.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The names of a table's files, all of which follow the table's, and the store they are in.

    Attributes
    ----------
    table
        The absolute path of ``X.parquet``.
    store
        Opens, lists and publishes what these are the names of.
    """

    table: str
    store: TableStore

    @classmethod
    def at(cls, table: AnyPath) -> "TableFiles":
        """Take the path of a table that somebody may have made by other means."""
        path = absolute(os.fspath(table).removeprefix("file://"))
        return cls(path, store_of(path))

    @classmethod
    def of(cls, table: AnyPath) -> "TableFiles":
        """Take a TABLE argument.

        Raises
        ------
        UsageError
            It is a URL, does not end in ``.parquet``, or its folder is not there.
        """
        path = os.fspath(table).removeprefix("file://")
        if "://" in path:
            raise UsageError(
                f"The table {path} is a URL: name a file on a disk that every worker sees."
            )
        if not path.endswith(".parquet") or os.path.basename(path) == ".parquet":
            mend = "quote the glob of the shards" if path.endswith(".tar") else "add .parquet"
            raise UsageError(f"The table {path} has another name than X.parquet: {mend}.")
        path = absolute(path)
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise UsageError(f"The folder {folder} of the table is not there: make it first.")
        if os.path.isdir(path):
            raise UsageError(f"The table {path} is a folder: name a file that may be written.")
        return cls.at(path)

    @contextmanager
    def locked(
        self,
        say: Callable[[str], None],
        *,
        force: bool = False,
        needed: Callable[[], int] = lambda: 0,
    ) -> Iterator["TableFiles"]:
        """Hold the lock of the table's jobs, and give its files as this run may publish them.

        Parameters and what is raised are those of `Workspace.locked`.
        """
        with self.workspace.locked(say, force=force, needed=needed) as staging:
            yield replace(self, store=self.store.of_run(staging))

    @property
    def stem(self) -> str:
        """What every other name starts with."""
        return self.table.removesuffix(".parquet")

    @property
    def parts(self) -> str:
        """The partitioned table: part files directly below it and nothing else."""
        return self.stem + ".parts"

    @property
    def ledger(self) -> str:
        """Every sidecar that gave no row."""
        return self.stem + ".rejects.parquet"

    @property
    def report(self) -> str:
        """The page about the table."""
        return self.stem + ".report.html"

    def part(self, index: int) -> str:
        """One part of the table."""
        return f"{self.parts}/{self.part_name(index)}"

    @staticmethod
    def part_name(index: int) -> str:
        """Name a part file; the zeros keep the first 100,000 sorted in any reader's listing."""
        return f"part-{index:05}.parquet"

    @staticmethod
    def is_part_name(name: str) -> bool:
        """Return whether a file in the folder of the parts is one of them."""
        return re.fullmatch(r"part-\d{5,}\.parquet", name) is not None

    @property
    def workspace(self) -> Workspace:
        """The job's own files.

        Beside the parts and not below them: polars 2.1 reads every file below a folder that it is
        pointed at, DuckDB 2.0 and Dask 2026.8 every ``*.parquet``, whatever their names begin with.
        """
        return Workspace(self.stem + ".cutline")

    @property
    def plan(self) -> str:
        """The frozen listing."""
        return self.workspace.folder + "/plan.parquet"

    @property
    def rejects(self) -> str:
        """The rejects of the parts."""
        return self.workspace.folder + "/rejects"

    @property
    def indexes(self) -> str:
        """What is in the shards, a file for each of them."""
        return self.workspace.folder + "/shards"

    @property
    def merged(self) -> str:
        """What the table was merged from."""
        return self.workspace.folder + "/merged"

    @property
    def timings(self) -> str:
        """How long each part took."""
        return self.workspace.folder + "/timings"

    def part_rejects(self, index: int, digest: str) -> str:
        """The rejects of one part.

        The digest in the name ties them to the part file that was made with them.
        """
        return f"{self.rejects}/{index:05}-{digest[:16]}.parquet"

    def make_folders(self) -> None:
        """Make the folders of the parts and of their rejects."""
        self.store.make_folder(self.parts)
        self.store.make_folder(self.rejects)

    def remove(self) -> None:
        """Remove all of it, of which nobody has need any more."""
        self.workspace.sweep()
        self.workspace.leave()
        for folder in (self.rejects, self.indexes, self.workspace.folder, self.parts):
            for name in self.store.sizes(folder):
                self.store.remove(f"{folder}/{name}")
            self.store.remove(folder)
        self.store.remove(self.ledger)
        self.store.remove(self.table)
