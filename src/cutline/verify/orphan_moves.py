"""Orphans moved out of the way, put back, or given a caption file; none is deleted."""

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from distributed import Client

from cutline.errors import CutlineError, UsageError, checked, flat
from cutline.plan import marks
from cutline.progress import SILENT, Watcher, events
from cutline.record import Reject, Rules, judging, texts
from cutline.sources import local_folder
from cutline.store import SmallFiles, TableFiles, TableStore, Workspace, disk
from cutline.verify import checks
from cutline.verify.checks import VerifyOptions
from cutline.verify.move_list import (
    LIST,
    Move,
    check_data,
    nowhere,
    read_list,
    remove_folders,
    write_list,
)
from cutline.verify.orphan_reasons import Orphan, read
from cutline.verify.verdict import VerifySummary
from cutline.verify.verification import Verified, verified, verify_dataset


@flat
@checked
@events.announced("verify", "verify-rows", "verify-files")
def move_orphans(
    table: disk.AnyPath,
    data: disk.AnyPath,
    folder: disk.AnyPath | None = None,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> VerifySummary:
    """Move images without row, and files that are no images, with all of theirs out of a folder.

    With them go their sidecars and caption files, and stray caption files. The rows of what is no
    image are in the table until it is compiled again.

    Parameters
    ----------
    table, data, options, client, watcher
        As of `verify_dataset`.
    folder
        Where they go, under the same relative paths: on the same file system and not below `data`.
        `orphans.jsonl` lists them there before the first one is moved. None for a new one beside
        `data`, if that is what mends most of what fails; if not, nothing is moved.

    Returns
    -------
    VerifySummary
        What the trainer finds after that.

    Raises
    ------
    UsageError
        The folder cannot be used.
    CutlineError
        Something has the name of an orphan there; the others are moved.
    """
    source = disk.data_folder(data)
    target = None if folder is None else _target_folder(folder, source)
    with verified(table, data, options, client, watcher) as found:
        if target is None:
            if not (new := found.summary.orphan_folder):
                return found.summary
            target = _target_folder(new, source)
        if found.summary.is_elsewhere:
            raise UsageError(
                f"Most rows of {table} have no image in {source}, and all that is there would be"
                " moved: name the folder that they are of."
            )
        with _workspace(source, options, watcher) as (own, store):
            if any(True for _ in _moves_of(found)):
                write_list(target, source, _moves_of(found))
                marks.moved_files.add(_remembered(_moves_of(found), source), own, store)
            tally = _move_all(_moves_of(found), source, target)
            moved_rows = Counter(one.reason for one in _movable(found) if one.has_row)
    restore = ["cutline", "verify", found.summary.table, source, "--orphans", f"restore={target}"]
    watcher.say(f"Moved {tally.moved:,} files to {target}; `{shlex.join(restore)}` puts them back.")
    tally.check(source, target, "name another folder")
    left = verify_dataset(table, data, options, client=client, watcher=watcher)
    return replace(left, moved_rows=dict(moved_rows))


@flat
@checked
@events.announced("verify", "verify-rows", "verify-files")
def restore_orphans(
    table: disk.AnyPath,
    data: disk.AnyPath,
    folder: disk.AnyPath,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> VerifySummary:
    """Put back what `move_orphans` moved, also after a crash half-way, and verify.

    Parameters and returns are those of `move_orphans`. The list, and the folder if nothing else is
    in it, are removed when everything is back.

    Raises
    ------
    UsageError
        There is no list in the folder.
    CutlineError
        Something has taken the name of a file, or none is anywhere; the others are back.
    """
    target, source = os.path.realpath(folder), disk.data_folder(data)
    # An empty folder is what is left of one if a run dies when all is back.
    has_list = os.path.isfile(os.path.join(target, LIST))
    if not has_list and not (os.path.isdir(target) and not os.listdir(target)):
        raise UsageError(f"There is no {LIST} in {folder}: name the folder that orphans went to.")
    check_data(target, source)
    outputs = TableFiles.of(table)
    with (
        outputs.workspace.locked(watcher.say, force=options.force_unlock),
        _workspace(source, options, watcher) as (own, store),
    ):
        tally = _move_all(read_list(target), target, source)
        listed, gone = nowhere(target, source)
        marks.moved_files.forget({one.path for one in read_list(target)}, own, store)
    watcher.say(f"Put {tally.moved:,} files back into {source}.")
    tally.check(target, source, "move those elsewhere and run this again")
    if gone:  # by somebody's hand, or they were moved on
        told = f"{len(gone):,} of {listed:,} files of the list in {target} are neither there nor in"
        told += f" {source}, such as {texts.shown_path(gone[0])}"
        if len(gone) == listed:
            raise CutlineError(f"{told}: put them into the folder, or remove the list.")
        watcher.say(f"{told}.")
    remove_folders(target)
    return verify_dataset(table, data, options, client=client, watcher=watcher)


@flat
@checked
@events.announced("verify", "verify-rows", "verify-files")
def caption_orphans(
    table: disk.AnyPath,
    data: disk.AnyPath,
    rules: Rules,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> VerifySummary:
    """Write caption files for images whose record was rejected only for its missing width.

    The trainer then starts, and leaves these images out. Parameters and returns are those of
    `move_orphans`; `rules` say where a record's caption is.
    """
    folder = disk.data_folder(data)
    workspace = Workspace.below(folder)
    with (
        verified(table, data, options, client, watcher) as found,
        workspace.locked(watcher.say, force=options.force_unlock) as staging,
        SmallFiles(folder, staging) as files,
        disk.open_folder(folder) as root,
    ):
        due = []
        for orphan in read(found.orphans):
            text = _caption_for(orphan, rules, root)
            path = os.path.splitext(orphan.path)[0] + b".txt"
            # Whatever has the name already, such as a link to nowhere, is somebody's.
            if text is not None and not local_folder.is_there(root, path):
                due.append((path, text.encode()))
        marks.caption_marks.remember(due, workspace.folder, workspace.store(staging))
        for path, caption in due:
            files.put(os.fsdecode(path), caption)
        files.sync()
    watcher.say(f"Wrote {len(due):,} caption files.")
    return verify_dataset(table, data, options, client=client, watcher=watcher)


@contextmanager
def _workspace(
    data: str, options: VerifyOptions, watcher: Watcher
) -> Iterator[tuple[str, TableStore]]:
    workspace = Workspace.below(data)
    with workspace.locked(watcher.say, force=options.force_unlock) as staging:
        yield workspace.folder, workspace.store(staging)


def _remembered(moves: Iterable[Move], data: str) -> marks.moved_files.MovedByPath:
    known = marks.shard_versions.read(Workspace.below(data).folder)
    files = {}
    for one in moves:
        with suppress(OSError):  # it is gone by now
            status = os.lstat(os.path.join(os.fsencode(data), one.path))
            birth = known.birth_of(one.path, status.st_size, status.st_mtime_ns)
            files[one.path] = frozenset({marks.moved_files.Moved(birth, known.newest)})
    return files


def _caption_for(orphan: Orphan, rules: Rules, root: int) -> str | None:
    if orphan.reason != "no_width" or orphan.caption is not None or orphan.sidecar is None:
        return None
    _, data, _ = local_folder.read_file(root, orphan.sidecar)
    record = data if isinstance(data, Reject) else judging.parse(data)
    found = record if isinstance(record, Reject) else judging.captions(record, rules)
    return None if isinstance(found, Reject) else "\n".join(found)


@dataclass(slots=True)
class Tally:
    """How many files were moved, and how many are stuck because their name is taken."""

    moved: int = 0
    stuck: int = 0
    example: str = ""

    def check(self, source: str, target: str, what_to_do: str) -> None:
        """Raise CutlineError if a file is stuck."""
        if self.stuck:
            raise CutlineError(
                f"{self.stuck:,} files are still in {source}, because {target} has files of the"
                f" same name, such as {self.example}: {what_to_do}."
            )


def _move_all(moves: Iterable[Move], source: str, target: str) -> Tally:
    tally = Tally()
    here, there = os.fsencode(source), os.fsencode(target)
    for one in moves:  # a file that is gone was moved before
        path = os.path.join(here, one.path)
        if disk.move(path, os.path.join(there, one.path)):
            tally.moved += 1
        elif os.path.lexists(path):
            tally.stuck += 1
            tally.example = tally.example or texts.shown_path(one.path)
    return tally


def _movable(found: Verified) -> Iterator[Orphan]:
    return (
        one for one in read(found.orphans) if not (one.has_row and found.summary.needs_download)
    )


def _moves_of(found: Verified) -> Iterator[Move]:
    for orphan in _movable(found):
        for path in (orphan.sidecar, orphan.caption, orphan.path):
            if path is not None:
                yield Move(path, orphan.path, orphan.reason, orphan.detail)


def _target_folder(folder: disk.AnyPath, data: str) -> str:
    target, source = os.path.realpath(folder), os.path.realpath(data)
    if os.path.commonpath([target, source]) in {target, source}:
        raise UsageError(f"The folder {folder} and the images' are one in the other: name another.")
    if os.path.exists(target) and not os.path.isdir(target):
        raise UsageError(f"{folder} is a file: name a folder.")
    if os.path.isdir(target):
        disk.remove_attempts(target, LIST)
        if LIST not in (names := os.listdir(target)) and names:
            raise UsageError(f"The folder {folder} is not empty: name a new one.")
        check_data(target, source)
    there = target
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if os.stat(there).st_dev != os.stat(source).st_dev:
        raise disk.other_file_system(os.fspath(folder))
    return target
