"""What makes a trainer's format, and what formats have in common."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeAlias

import pyarrow as pa
from distributed import Client

from cutline.progress import Watcher
from cutline.record import texts
from cutline.sources import shard_names

Rows: TypeAlias = Iterator[pa.RecordBatch]
"""Checked rows of the table, in batches of its four columns."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported; `out` and `data` are absolute."""

    table: str
    out: str
    data: str


class Format(NamedTuple):
    """A format: one module, and one line of `exporting.FORMATS`.

    Names of its files end with `suffix`; with a slash in front, that is the whole name. `check`
    raises UsageError if the readers would not find the file, or it would pass for something else.
    """

    suffix: str
    write: Callable[[Rows, Export, BinaryIO], None]
    check: Callable[[Export], None] = lambda _: None

    def default_name(self, table: str, data: str) -> str:
        """Return the path that the readers look at: in DATA, or beside the table."""
        if self.suffix.startswith("/"):
            return data + self.suffix
        return os.path.splitext(os.path.abspath(table))[0] + self.suffix


class ShardFormat(NamedTuple):
    """A format of a table whose images stay in the shards that it was compiled from.

    `write` is called with the table, the shards, the path to make, a client and a watcher, and
    returns how many samples it wrote.
    """

    suffix: str
    write: Callable[[str, shard_names.ShardSet, str, Client | None, Watcher], int]

    def default_name(self, table: str, data: object) -> str:  # noqa: ARG002
        """Return the path that it makes, beside the table."""
        return os.path.splitext(os.path.abspath(table))[0] + self.suffix


def samples(batches: Rows, asked: Export) -> Iterator[tuple[str, str, list[int]]]:
    """Yield each image's absolute path, its caption, and its width and height.

    Several captions are lines of one: sd-scripts picks one of them with its ``enable_wildcard``.
    """
    for rows in batches:
        width, height, captions, filenames = (column.to_pylist() for column in rows.columns)
        for row in zip(filenames, captions, width, height, strict=True):
            yield f"{asked.data}/{row[0]}", texts.caption_file(row[1]) or "", [row[2], row[3]]


def is_within(folder: str, above: str) -> bool:
    """Return whether a folder is another one or somewhere below it; both are absolute."""
    return os.path.commonpath([folder, above]) == above
