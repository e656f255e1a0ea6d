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
    """The names of a table's files, which all follow the table's, and the store they are in.

    Attributes
    ----------
    table
        ``X.parquet``, as an absolute path, or as a URL of a store.
    store
        Opens, lists and publishes the files.
    """

    table: str
    store: TableStore

    @classmethod
    def at(cls, table: AnyPath) -> "TableFiles":
        """Return the files of a table that any tool may have made."""
        path = os.fspath(table).removeprefix("file://")
        store = store_of(path)
        return cls(path if "://" in path else absolute(path), store)

    @classmethod
    def of(cls, table: AnyPath) -> "TableFiles":
        """Return the files of a TABLE argument; if it is a link, of the table that it leads to.

        Raises
        ------
        UsageError
            It does not end in ``.parquet``, its folder is not there, or it is a URL that no store
            is for.
        """
        path = os.fspath(table).removeprefix("file://")
        store_of(path)
        if os.path.islink(path):  # a table would take the place of the link, not of the old one
            path = os.path.realpath(path)
        if not path.endswith(".parquet") or os.path.basename(path) == ".parquet":
            mend = "quote the glob of the shards" if path.endswith(".tar") else "add .parquet"
            raise UsageError(f"The table {path} has another name than X.parquet: {mend}.")
        files = cls.at(path)
        files.store.check_table(files.table)
        return files

    @contextmanager
    def locked(
        self,
        say: Callable[[str], None],
        *,
        force: bool = False,
        needed: Callable[[], int] = lambda: 0,
    ) -> Iterator["TableFiles"]:
        """Hold the lock of the table's jobs, and yield its files as this run may publish them.

        Parameters and what is raised are those of `Workspace.locked`.
        """
        with self.store.locked(self._own, say, force=force, needed=needed) as store:
            yield replace(self, store=store)

    @property
    def stem(self) -> str:
        """What all the other names begin with."""
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

    @property
    def webshart(self) -> str:
        """The folder of the index that webshart reads, a file for each shard."""
        return self.stem + ".webshart"

    def part(self, index: int) -> str:
        """Return the name of a part."""
        return f"{self.parts}/{self.part_name(index)}"

    @staticmethod
    def part_name(index: int) -> str:
        """Return the name of a part in its folder; the first 100,000 sort as their numbers do."""
        return f"part-{index:05}.parquet"

    @staticmethod
    def is_part_name(name: str) -> bool:
        """Return whether a name in the folder of the parts is that of a part."""
        return re.fullmatch(r"part-\d{5,}\.parquet", name) is not None

    @property
    def _own(self) -> str:
        # Beside the parts and not below them: polars 2.1 reads every file below a folder that it is
        # pointed at, DuckDB 2.0 and Dask 2026.8 every *.parquet, whatever their names begin with.
        return self.stem + ".cutline"

    @property
    def workspace(self) -> Workspace:
        """The folder of the job's own files, on a disk."""
        return Workspace(self._own)

    @property
    def plan(self) -> str:
        """The frozen listing."""
        return self._own + "/plan.parquet"

    @property
    def rejects(self) -> str:
        """The folder of the rejects of the parts."""
        return self._own + "/rejects"

    @property
    def indexes(self) -> str:
        """The folder of what is in the shards, a file for each shard."""
        return self._own + "/shards"

    @property
    def merged(self) -> str:
        """What the table was merged from."""
        return self._own + "/merged"

    @property
    def timings(self) -> str:
        """How long each part took."""
        return self._own + "/timings"

    def part_rejects(self, index: int, digest: str) -> str:
        """Return the name of a part's rejects.

        The digest ties them to the part file that was made with them.
        """
        return f"{self.rejects}/{index:05}-{digest[:16]}.parquet"

    def make_folders(self) -> None:
        """Make the folders of the parts and of their rejects."""
        self.store.make_folder(self.parts)
        self.store.make_folder(self.rejects)

    def remove(self) -> None:
        """Remove the table with all of its files; no run is at work on it."""
        for folder in (self.rejects, self.indexes, self._own, self.parts):
            for name in self.store.sizes(folder):
                self.store.remove(f"{folder}/{name}")
            self.store.remove(folder)
        self.store.remove(self.ledger)
        self.store.remove(self.table)
