"""Which members of the shards become which files: settled for all shards before any is written."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cutline.extract.extract_options import ExtractOptions
from cutline.plan import ledger, marks, shard_index
from cutline.record import reasons
from cutline.sources import line_format
from cutline.store import TableStore, Workspace, parquet

EXAMPLES: Final = 10
"""Members that become no file and are told one by one."""

WHY: Final = {
    "duplicate": "another member has its place",
    "bad_name": "a shard has this name",
}
"""Why a member becomes no file that the index of its shard has nothing against."""

MEMBER: Final = ("path", "shard", "stamp")
"""The columns of a line that tell which member of which version it is."""

AS_REJECT: Final[dict[str, reasons.Reason]] = {"duplicate": "duplicate"}
"""What a sidecar among them is in the ledger; unreadable for every other reason."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The members that become files, in source order, and how many do not, by reason.

    `folders` are the members that are folders. `lost` are the sidecars that become no file, as
    lines of a ledger, with the reasons that a compile from the shards has for them. `sidecars`
    tells of each line whether it is one. `moved` counts the files that are not unpacked, because
    orphans were moved with them. `passed_over` are the members that macOS, Windows or a NAS has
    left, which are no loss.
    """

    lines: pa.Table
    folders: pa.Table
    rejects: Counter[str]
    examples: list[str]
    lost: pa.Table
    sidecars: pa.ChunkedArray
    passed_over: list[str]
    moved: int = 0

    def without_moved(self, moved: marks.moved_files.MovedByPath, known: marks.Known) -> "Settled":
        """Leave out the members that were moved away as files of the same version."""
        mask, folders = (
            pa.array(_comes(members, moved, known)) for members in (self.lines, self.folders)
        )
        lines, sidecars = self.lines.filter(mask), self.sidecars.filter(mask)
        return replace(
            self,
            lines=lines,
            folders=self.folders.filter(folders),
            sidecars=sidecars,
            moved=len(self.lines) - len(lines),
        )


def _comes(
    members: pa.Table, moved: marks.moved_files.MovedByPath, known: marks.Known
) -> npt.NDArray[np.bool_]:
    comes = np.ones(len(members), bool)
    itself = pc.is_in(members["path"], pa.array(list(moved), pa.binary()))
    # A folder that has the name of a sidecar was moved with what is in it.
    within = pc.match_substring(members["path"], b".json/", ignore_case=True)
    for row in np.flatnonzero(pc.or_(itself, within).to_numpy()).tolist():
        path, shard, stamp = (members[name][row].as_py() for name in MEMBER)
        version = marks.shard_versions.version_of(shard, stamp)
        above = accumulate(path.split(b"/"), lambda folder, name: folder + b"/" + name)
        gone = (one for each in above for one in moved.get(each, ()))
        comes[row] = not any(one.stays_away(version, known) for one in gone)
    return comes


def settle(
    indexes: list[shard_index.ShardIndex],
    store: TableStore,
    options: ExtractOptions,
    shards: Mapping[bytes, int],
) -> Settled:
    """Settle which member becomes which file: of those with one name, the first in source order.

    It is settled before any file is written: there, chance would decide which one comes first.

    Parameters
    ----------
    indexes
        What is in each shard.
    options
        Which samples to settle, and whether their sidecars or their images only.
    shards
        The paths of the shards that are in the folder of the files, and their sizes. A member of
        such a path and another size is refused: it would replace the shard.
    """
    members = pa.concat_tables(
        [shard_index.member_lines(index, ["reason", "sidecar"], store) for index in indexes]
    )
    members = _chosen(members.combine_chunks(), options)
    regular = pc.is_null(members["reason"]).to_numpy()
    of_shards = regular & _would_replace(members, shards)
    regular &= ~of_shards
    files = regular.copy()
    folders = members.filter(pa.array(_has_reason(members, "directory"))).select(MEMBER)
    names = folders["path"].unique().to_pylist()
    files[regular] = _first_of_each(members["path"].filter(pa.array(regular)), names)
    system = members.filter(pa.array(_has_reason(members, "system_file")))
    refused = {
        "duplicate": members.filter(pa.array(regular & ~files)),
        "bad_name": members.filter(pa.array(of_shards | _has_reason(members, "bad_name"))),
        "not_regular": members.filter(pa.array(_has_reason(members, "not_regular"))),
    }
    examples = [line for reason, lines in refused.items() for line in _shown(reason, lines)]
    return Settled(
        lines=members.filter(pa.array(files)).select(line_format.LINES.names),
        sidecars=members["sidecar"].filter(pa.array(files)),
        folders=folders,
        passed_over=list(
            map(line_format.shown_source, system["shard"].to_pylist(), system["path"].to_pylist())
        ),
        rejects=Counter({reason: len(lines) for reason, lines in refused.items()}),
        examples=examples[:EXAMPLES],
        lost=parquet.table_of_rows(
            [one for each in refused.items() for one in _lost_among(*each)], ledger.LEDGER
        ),
    )


def _has_reason(members: pa.Table, reason: str) -> npt.NDArray[np.bool_]:
    has: npt.NDArray[np.bool_] = (
        pc.equal(members["reason"], reason).fill_null(pa.scalar(value=False)).to_numpy()
    )
    return has


def _would_replace(members: pa.Table, shards: Mapping[bytes, int]) -> npt.NDArray[np.bool_]:
    paths = pa.array(list(shards), pa.binary())
    found: npt.NDArray[np.bool_] = np.array(pc.is_in(members["path"], paths))
    for row in np.flatnonzero(found).tolist():
        found[row] = members["size"][row].as_py() != shards[members["path"][row].as_py()]
    return found


def lines_due(
    indexes: list[shard_index.ShardIndex], data: str, options: ExtractOptions, store: TableStore
) -> pa.Table:
    """Return the members that `extract` would make files of in `data`, and change nothing.

    Those are among them that are files there already, but not those that were moved away.
    """
    own = Workspace.below(data).folder
    settled = settle(indexes, store, options, {})
    moved, known = marks.moved_files.read(own, store), marks.shard_versions.read(own)
    return settled.without_moved(moved, known).lines


def _chosen(members: pa.Table, options: ExtractOptions) -> pa.Table:
    if not options.selection.is_all:
        members = options.selection.members_of(members)
    if options.only is None:
        return members
    sidecars = pc.ends_with(members["path"], b".json", ignore_case=True)
    return members.filter(sidecars if options.only == "sidecars" else pc.invert(sidecars))


def _first_of_each(paths: pa.ChunkedArray, folders: list[bytes]) -> npt.NDArray[np.bool_]:
    # A path that is also a folder's is none of them.
    codes = paths.combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    nested = paths.filter(pc.match_substring(paths, b"/")).to_pylist()
    taken = {*folders, *_folders_among([*nested, *folders])}
    if taken:
        first &= ~pc.is_in(paths, pa.array(sorted(taken), pa.binary())).to_numpy()
    return first


def _folders_among(paths: Iterable[bytes]) -> set[bytes]:
    # Of the folders on the way to the paths, those that are paths themselves, and those at the
    # top. Not every folder on the way: a name of 4 KB may go through 2,000 of them.
    # With a NUL for each slash, whatever is below a path comes right behind it.
    ordered = sorted({path.replace(b"/", b"\0") for path in paths})
    pairs = pairwise(ordered)
    among = {path for path, behind in pairs if behind.startswith(path + b"\0")}
    tops = {path.partition(b"\0")[0] for path in ordered if b"\0" in path}
    return tops | {path.replace(b"\0", b"/") for path in among}


def _lost_among(reason: str, lines: pa.Table) -> Iterator[tuple[str, reasons.Reason, str, None]]:
    for line in lines.filter(lines["sidecar"]).to_pylist():
        source = line_format.shown_source(line["shard"], line["path"])
        yield source, AS_REJECT.get(reason, "unreadable"), line["fault"] or WHY[reason], None


def _shown(reason: str, lines: pa.Table) -> list[str]:
    return [
        f"{line_format.shown_source(line['shard'], line['path'])}: {reason}:"
        f" {line['fault'] or WHY[reason]}"
        for line in lines.slice(0, EXAMPLES).to_pylist()
    ]
