"""Sidecars in a local folder: their names, bytes and stamps."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop
from itertools import islice
from time import perf_counter
from typing import AnyStr, Final, NoReturn, overload

import pyarrow as pa

from cutline import in_flight
from cutline.errors import CutlineError, said
from cutline.record import TOO_LARGE, Reject, naming, texts
from cutline.sources.base import too_large, unreadable
from cutline.sources.line_format import Head, Sidecar, Stamp, lines_of, sorted_paths
from cutline.sources.passing_over import is_file_name, is_sidecar_name, may_hold_sidecars
from cutline.store import disk

OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""How a sidecar is opened; without O_NONBLOCK a pipe of that name would wait for a writer."""

UNSEEN: Final = (0, 0, 0, 0)
"""The stamp of a local file that cannot be looked at."""

FEW: Final = 3
"""Files that are asked what they are; if all of them take long to tell, other files are not."""


def refuse(error: OSError) -> NoReturn:
    """Raise the error of a folder of which nothing can be listed."""
    raise CutlineError(
        f"The folder {texts.shown_path(error.filename)} cannot be listed: {error.strerror}. Make it"
        " readable or move it away."
    ) from error


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder of sidecars, flat or nested.

    Names that start with a dot are skipped, as the recipe's glob did; symbolic links to folders and
    a system's own folders are not entered.
    """

    root: str

    def __str__(self) -> str:
        return self.root

    def list(
        self, refused: Callable[[OSError], None] = refuse, limit: int | None = None
    ) -> pa.Table:
        """Return a line for each sidecar.

        Parameters
        ----------
        refused
            Called with the error of each folder below that cannot be listed; by default raises.
        limit
            Return only the first ones, and list no folder that comes after them.

        Raises
        ------
        CutlineError
            The folder itself cannot be listed.
        """
        root = os.fsencode(self.root)
        if limit is None:
            return lines_of(sorted_paths(_walk_folder(root, refused)))
        return lines_of(sorted_paths([*islice(_walk_in_order(root, refused), limit)]))

    def images(self, sidecars: pa.Table) -> pa.Table:
        """Return a line for each image in the folders of some sidecars."""
        root = os.fsencode(self.root)
        prefixes = {b"".join(path.rpartition(b"/")[:2]) for path in sidecars["path"].to_pylist()}
        found: list[bytes] = []
        for prefix in prefixes:
            with scanned(root, prefix, lambda _: None) as entries:
                found += [prefix + one.name for one in entries if naming.is_image(one.name)]
        return lines_of(sorted_paths(found))

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Return the stamps of the sidecars of some lines."""
        with disk.open_folder(self.root) as root:
            return [*in_flight.in_order(partial(stamp_of, root), lines["path"].to_pylist())]

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Return whether the stamp is that of a sidecar that cannot be read."""
        return not is_regular(stamp)

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines."""
        with disk.open_folder(self.root) as root:
            ahead = partial(read_file, root, most=in_flight.SMALL)
            paths = lines["path"].to_pylist()
            yield from in_flight.in_order(partial(read_file, root), paths, ahead)

    @contextmanager
    def heads(self, lines: pa.Table) -> Iterator[Head]:  # noqa: ARG002 - as of `Source`
        """Open what reads the first bytes of files."""
        with disk.open_folder(self.root) as root:
            yield partial(_head, root)


def answer(question: Callable[[], bool]) -> bool:
    """Return what an entry of a folder says it is; a link that leads to itself is nothing."""
    try:
        return question()
    except OSError:
        return False


def _walk_folder(root: bytes, refused: Callable[[OSError], None]) -> list[bytes]:
    """Return the sidecars below a folder, as paths relative to it, in no order."""
    found, prefixes = list[bytes](), [b""]
    while prefixes:
        prefix = prefixes.pop()
        sidecars, folders = _read_folder(root, prefix, refused)
        found += sidecars
        prefixes += folders
    return found


def _walk_in_order(root: bytes, refused: Callable[[OSError], None]) -> Iterator[bytes]:
    """Yield the same in the order of the paths; a folder is listed when its turn has come."""
    above = [[b"/"]]  # heaps: to sort a million names for the first thousand takes 2 s
    while above:
        if not above[-1]:
            above.pop()
            continue
        path = heappop(above[-1])
        if path.endswith(b"/"):
            sidecars, folders = _read_folder(root, path.lstrip(b"/"), refused)
            heapify(names := sidecars + folders)
            above.append(names)
        else:
            yield path


def _read_folder(
    root: bytes, prefix: bytes, refused: Callable[[OSError], None]
) -> tuple[list[bytes], list[bytes]]:
    """Return the paths of the sidecars in a folder, and of the folders with a slash at the end.

    Where each entry has to be asked what it is, those named like a sample's files are not: on a
    network file system that takes as long as reading the sidecars does. It is enough if the folder
    has no more links than the folders that were found in it account for, as each is one by its
    "..". Where file systems count otherwise all are asked.
    """
    sidecars, took, skipped = list[bytes](), list[float](), False

    def worth_asking(entries: Iterable[os.DirEntry[bytes]]) -> Iterator[os.DirEntry[bytes]]:
        nonlocal skipped
        slow = False
        for entry in entries:
            if is_sidecar_name(entry.name):
                sidecars.append(prefix + entry.name)
                continue
            if slow and is_file_name(entry.name):
                skipped = True
                continue
            if len(took) < FEW and is_file_name(entry.name):
                began = perf_counter()
                answer(partial(entry.is_dir, follow_symlinks=False))
                took.append(perf_counter() - began)
                slow = len(took) == FEW and min(took) > in_flight.SLOW
            yield entry

    folder = os.path.join(root, prefix)
    with scanned(root, prefix, refused) as entries:
        names = _folders_among(worth_asking(entries), folder, refused)
    if skipped and _links_of(folder) != 2 + len(names):
        with scanned(root, prefix, refused) as entries:
            files = (one for one in entries if is_file_name(one.name))
            others = (one for one in files if not is_sidecar_name(one.name))
            names |= _folders_among(others, folder, refused)
    return sidecars, [prefix + name + b"/" for name in names if may_hold_sidecars([name])]


def _links_of(folder: bytes) -> int:
    try:
        return os.stat(folder).st_nlink
    except OSError:
        return 0


def _folders_among(
    entries: Iterable[os.DirEntry[bytes]], folder: bytes, refused: Callable[[OSError], None]
) -> set[bytes]:
    names = set[bytes]()
    for entry in with_kinds(entries):
        try:
            if entry.is_dir(follow_symlinks=False):
                names.add(entry.name)
        except OSError as error:  # it does not tell, and may be a folder
            error.filename = os.path.join(folder, entry.name)
            refused(error)
    return names


def with_kinds(entries: Iterable[os.DirEntry[AnyStr]]) -> Iterator[os.DirEntry[AnyStr]]:
    """Yield entries that know what they are: some file systems have to be asked for each of them.

    NFS, for instance, tells no kinds with the names of a large folder.
    """

    def known(entry: os.DirEntry[AnyStr]) -> os.DirEntry[AnyStr]:
        answer(partial(entry.is_dir, follow_symlinks=False))  # an entry keeps what it is told
        return entry

    return in_flight.in_order(known, entries)


@contextmanager
def scanned(
    root: bytes, prefix: bytes, refused: Callable[[OSError], None]
) -> Iterator[Iterator[os.DirEntry[bytes]]]:
    """Open a folder below a root, and give its entries, as far as it can be listed.

    What an entry is can be asked as long as the folder is open, and is one operation then: by its
    path it would be one for each folder above, too.

    Raises
    ------
    CutlineError
        The root itself cannot be listed.
    """

    def told(error: OSError) -> None:
        error.filename = path
        if not prefix:
            refuse(error)
        refused(error)

    path = os.path.join(root, prefix)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(disk.open_folder(path))
        except OSError as error:
            told(error)
            yield iter(())
        else:
            yield _entries(folder, told)


def _entries(folder: int, told: Callable[[OSError], None]) -> Iterator[os.DirEntry[bytes]]:
    try:
        # By this path entries have bytes for names; a descriptor would give them as text.
        with os.scandir(b"/proc/self/fd/%d" % folder) as entries:
            yield from entries
    except OSError as error:
        told(error)


def _folder_of(error: OSError) -> str:
    return texts.shown_path(os.fsencode(error.filename or "?")).rstrip("/")


def shown_refusals(errors: Sequence[OSError]) -> str:
    """Return a sentence about folders that cannot be listed; empty if there are none."""
    if not errors:
        return ""
    named = [f"{_folder_of(one)} ({said(one)})" for one in errors[:3]]
    more = f" and {len(errors) - 3:,} more" if len(errors) > 3 else ""
    return (
        "These folders cannot be listed, and what is in them is left out:"
        f" {', '.join(named)}{more}: make them readable or move them away, and run this again."
    )


@overload
def read_file(root: int, path: bytes) -> Sidecar: ...
@overload
def read_file(root: int, path: bytes, most: int) -> Sidecar | in_flight.Later: ...
def read_file(root: int, path: bytes, most: int | None = None) -> Sidecar | in_flight.Later:
    """Read a sidecar of an open local folder; `LATER` if it has more bytes than `most`.

    It costs 5 us; `open().read()` costs 10, and fsspec 21.
    """
    try:
        descriptor = os.open(path, OPEN_FLAGS, dir_fd=root)
    except OSError as error:
        return path, unreadable(error), stamp_of(root, path)
    try:
        # Of the open file, before it is read; a `stat` by name costs 2 us more.
        status = os.fstat(descriptor)
        size = status.st_size
        if most is not None and size > most:
            return in_flight.LATER
        stamp = status.st_mode, size, status.st_mtime_ns, status.st_ctime_ns
        if size > TOO_LARGE or not stat.S_ISREG(status.st_mode):
            return path, _refused(status), stamp
        # A buffer no larger than needed: under Dask's nanny one of 128 KiB is an mmap, whose page
        # faults cost 15 us a file.
        data = os.read(descriptor, size + 1)
        return path, data if len(data) == size else _read_rest(descriptor, data), stamp
    except OSError as error:
        return path, unreadable(error), UNSEEN
    finally:
        os.close(descriptor)


def _head(root: int, path: bytes, _: int | None, length: int) -> bytes:
    try:
        descriptor = os.open(path, OPEN_FLAGS, dir_fd=root)
        try:
            return os.read(descriptor, length)
        finally:
            os.close(descriptor)
    except OSError:
        return b""


def _refused(status: os.stat_result) -> Reject:
    if stat.S_ISREG(status.st_mode):
        return too_large(status.st_size)
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
    return Reject("unreadable", f"it is {kind}")


def stamp_of(root: int, path: bytes) -> Stamp:
    """Return the stamp of a sidecar by its name."""
    try:
        status = os.stat(path, dir_fd=root)
    except OSError:
        return UNSEEN
    return status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_there(root: int, path: bytes) -> bool:
    """Return whether anything has this name, a link to nowhere too."""
    try:
        os.stat(path, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


def is_regular(stamp: Stamp) -> bool:
    """Return whether the stamp is that of a regular local file."""
    mode = stamp[0]
    return isinstance(mode, int) and stat.S_ISREG(mode)


def _read_rest(descriptor: int, data: bytes) -> bytes | Reject:
    """Read on in a file whose size has changed, or of which a read returned less."""
    while len(data) <= TOO_LARGE and (more := os.read(descriptor, 2**16)):
        data += more
    return too_large(len(data)) if len(data) > TOO_LARGE else data
