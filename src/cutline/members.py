"""Which members of the shards become which files: settled for all shards before any is written."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cutline.index import ShardIndex, member_lines
from cutline.plan import LINES, shown_source

EXAMPLES: Final = 10
"""Members that become no file and are told one by one."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The members that become files, in source order, and how many do not for which reason.

    `folders` are the members that are folders.
    """

    lines: pa.Table
    folders: list[bytes]
    rejects: Counter[str]
    examples: list[str]


def settle(indexes: list[ShardIndex], only: str | None) -> Settled:
    """Settle which member becomes which file: of those with one name, the first in source order.

    Here, and not where they are written: there it would be the one that comes first by chance.
    """
    members = pa.concat_tables([member_lines(index, ["reason"]) for index in indexes])
    members = chosen(members.combine_chunks(), only)
    regular = pc.is_null(members["reason"]).to_numpy()
    files = regular.copy()
    folders = members["path"].filter(pc.equal(members["reason"], "directory")).unique().to_pylist()
    files[regular] = first_of_each(members["path"].filter(pa.array(regular)), folders)
    refused = {
        "duplicate": members.filter(pa.array(regular & ~files)),
        "bad_name": members.filter(pc.equal(members["reason"], "bad_name")),
        "not_regular": members.filter(pc.equal(members["reason"], "not_regular")),
    }
    examples = [line for reason, lines in refused.items() for line in shown(reason, lines)]
    return Settled(
        lines=members.filter(pa.array(files)).select(LINES.names),
        folders=sorted(filter(None, folders)),
        rejects=Counter({reason: len(lines) for reason, lines in refused.items()}),
        examples=examples[:EXAMPLES],
    )


def chosen(members: pa.Table, only: str | None) -> pa.Table:
    """Take the sidecars or the images, which are all others; or all."""
    if only is None:
        return members
    sidecars = pc.ends_with(members["path"], b".json")
    return members.filter(sidecars if only == "sidecars" else pc.invert(sidecars))


def first_of_each(paths: pa.ChunkedArray, folders: list[bytes]) -> npt.NDArray[np.bool_]:
    """Mark the first of each path, unless it is that of a folder: then the folder has it."""
    codes = paths.combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    nested = paths.filter(pc.match_substring(paths, b"/")).to_pylist()
    taken = {*folders, *folders_of([*nested, *folders])}
    if taken:
        first &= ~pc.is_in(paths, pa.array(sorted(taken), pa.binary())).to_numpy()
    return first


def folders_of(paths: Iterable[bytes]) -> set[bytes]:
    """Find every folder that some paths go through."""
    folders = {path.rpartition(b"/")[0] for path in paths}
    left = list(folders)
    while left:
        above = left.pop().rpartition(b"/")[0]
        if above and above not in folders:
            folders.add(above)
            left.append(above)
    return folders


def shown(reason: str, lines: pa.Table) -> list[str]:
    """Tell some members that become no file."""
    why = "another member has its place" if reason == "duplicate" else ""
    return [
        f"{shown_source(line['shard'], line['path'])}: {reason}: {line['fault'] or why}"
        for line in lines.slice(0, EXAMPLES).to_pylist()
    ]
