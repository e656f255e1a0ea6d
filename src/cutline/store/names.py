"""Where the outputs of a job are: every name follows the table's."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from cutline.errors import UsageError
from cutline.store.publish import empty_folder, make_folder, remove, remove_folder, remove_tree

AnyPath: TypeAlias = str | os.PathLike[str]
"""A path as users of the functions give it."""


def absolute(path: AnyPath) -> str:
    """Make a path absolute.

    Raises
    ------
    UsageError
        It is not UTF-8, and could not be written down: in JSON, in a plan, in the trainer's file.
    """
    whole = os.path.abspath(path)
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The path {whole!a} is not UTF-8: give it another name.") from error
    return whole


OWN: Final = ".cutline"
"""The folder in DATA that is cutline's: of jobs that write there, the lock and the attempts."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder that only cutline writes to: a job's lock, and the attempts of its runs at files."""

    folder: str

    @classmethod
    def below(cls, data: str) -> "Workspace":
        """Give that of the jobs that write files below DATA."""
        return cls(f"{data}/{OWN}")

    @property
    def lock(self) -> str:
        """Who is at work."""
        return self.folder + "/lock"

    @property
    def attempts(self) -> str:
        """Where each run has a staging folder."""
        return self.folder + "/attempts"

    def make(self) -> None:
        """Make its folders."""
        make_folder(self.folder)
        make_folder(self.attempts)

    def staging(self, run: str) -> str:
        """Make the staging folder of a run, and end all others.

        A run whose folder is gone can publish nothing any more, wherever its workers still write.
        """
        folder = f"{self.attempts}/{run}"
        while not os.path.isdir(folder):
            self.make()
            with suppress(FileNotFoundError):  # a run that has just ended removed the folder above
                os.mkdir(folder)
        self.sweep(keep=run)
        return folder

    def sweep(self, keep: str = "") -> None:
        """Remove the staging folders of all runs but one.

        Raises
        ------
        CutlineError
            One cannot be removed: what works for its run could still publish.
        """
        with suppress(FileNotFoundError):
            for run in set(os.listdir(self.attempts)) - {keep}:
                remove_tree(f"{self.attempts}/{run}")

    def leave(self) -> None:
        """Remove its folders as far as they are empty."""
        remove_folder(self.attempts)
        remove_folder(self.folder)


@dataclass(frozen=True, slots=True)
class Outputs:
    """The names of everything a job leaves behind; all of them follow the table's.

    Attributes
    ----------
    table
        The absolute path of ``X.parquet``.
    staging
        Where the run at work writes its attempts; who holds the lock has one.
    """

    table: str
    staging: str = ""

    @classmethod
    def of(cls, table: AnyPath) -> "Outputs":
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
        return cls(path)

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
        return f"{self.parts}/{part_name(index)}"

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
        make_folder(self.parts)
        make_folder(self.rejects)

    def make_index_folder(self) -> None:
        """Make the folder of what is in the shards."""
        make_folder(self.workspace.folder)
        make_folder(self.indexes)

    def keep_indexes(self, paths: set[str]) -> None:
        """Remove the indexes of shards that are no more."""
        for name in os.listdir(self.indexes):
            if f"{self.indexes}/{name}" not in paths:
                remove(f"{self.indexes}/{name}")

    def remove(self) -> None:
        """Remove the outputs, of which nobody has need any more."""
        self.workspace.sweep()
        self.workspace.leave()
        for folder in (self.rejects, self.indexes, self.workspace.folder, self.parts):
            empty_folder(folder)
            remove_folder(folder)
        remove(self.ledger)
        remove(self.table)


def part_name(index: int) -> str:
    """Name a part file; the zeros keep the first 100,000 sorted in any reader's listing."""
    return f"part-{index:05}.parquet"


def is_part_name(name: str) -> bool:
    """Tell whether a file in the folder of the parts is one of them."""
    return re.fullmatch(r"part-\d{5,}\.parquet", name) is not None
