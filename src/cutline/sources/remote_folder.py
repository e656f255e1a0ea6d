"""Sidecars in a folder behind an fsspec URL, read many at a time."""

import html
import os
import posixpath
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import fsspec
import pyarrow as pa

from cutline import in_flight
from cutline.record import TOO_LARGE, Reject, naming
from cutline.sources.base import stamp, too_large, unreadable
from cutline.sources.line_format import Head, Sidecar, Stamp, lines_of
from cutline.sources.local_folder import refuse
from cutline.sources.passing_over import is_sidecar
from cutline.sources.remote_file import Range, answers, open_filesystem, whole
from cutline.sources.server_refusals import GONE, RemoteError, asked

FLAT: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "obs", "hf"}
"""Protocols of stores that list all objects below a prefix at once."""

OUT_OF_RANGE: Final = 416
"""The HTTP status of a range that begins behind the end."""

NO_FILE: Final = -1
"""The size, in a remote listing, of what is not a file, such as a pipe."""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of sidecars behind an fsspec URL, read many at a time."""

    url: str

    def __str__(self) -> str:
        return self.url

    def list(
        self, refused: Callable[[OSError], None] = refuse, limit: int | None = None
    ) -> pa.Table:
        """Return a line for each sidecar; parameters are those of `Folder.list`."""
        return self._listed(lambda path: is_sidecar(path.split(b"/")), refused, limit)

    def images(self, sidecars: pa.Table) -> pa.Table:  # noqa: ARG002 - as of `Folder`
        """Return a line for each image; a folder that cannot be listed has none."""
        return self._listed(naming.is_image, lambda _: None)

    def _listed(
        self,
        wanted: Callable[[bytes], bool],
        refused: Callable[[OSError], None],
        limit: int | None = None,
    ) -> pa.Table:
        fs, root = open_filesystem(self.url)
        found = dict(_below(fs, root, self.url, refused))
        paths = sorted(filter(wanted, found))[:limit]
        infos = [_resolved(fs, found[path], self.url) for path in paths]
        # Without a stamp nobody knows whether a file has changed, so it must always seem changed.
        unknown = f"listed {uuid.uuid4()}"
        stamps = [
            stamp(info) or (None if info.get("size") == NO_FILE else unknown) for info in infos
        ]
        return lines_of(
            pa.array(paths, pa.binary()),
            pa.array([info.get("size") for info in infos], pa.int64()),
            pa.array(stamps, pa.string()),
        )

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Return the stamps that the listing gave."""
        return list(zip(lines["size"].to_pylist(), lines["stamp"].to_pylist(), strict=True))

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Return whether the stamp is that of a sidecar that cannot be read."""
        return stamp[0] == NO_FILE

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines, many at a time."""
        fs, root = open_filesystem(self.url)
        paths, stamps = lines["path"].to_pylist(), self.stamps(lines)
        sizes = lines["size"].to_pylist()
        objects = (
            _Object(fs, _within(fs, root, path), size)
            for path, size in zip(paths, sizes, strict=True)
        )
        yield from zip(paths, answers(fs, objects), stamps, strict=True)

    @contextmanager
    def heads(self, lines: pa.Table) -> Iterator[Head]:  # noqa: ARG002 - as of `Source`
        """Open what reads the first bytes of files, each with a request of its own."""
        fs, root = open_filesystem(self.url)

        def head(path: bytes, _: int | None, length: int) -> bytes:
            place = _within(fs, root, path)
            try:
                data: bytes = asked(place, partial(fs.cat_file, place, start=0, end=length))
            except OSError:
                return b""
            return data

        yield head


def _below(
    fs: fsspec.AbstractFileSystem, root: str, url: str, refused: Callable[[OSError], None]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield what is below a folder: relative paths, and what the file system says of each.

    The `find` of fsspec passes over a folder that it cannot list, and its sidecars with it. Only
    object stores have one of their own, which asks for all at once.
    """
    if _protocols(fs) & FLAT:
        for name, info in asked(url, partial(fs.find, root, withdirs=True, detail=True)).items():
            yield _relative(fs, root, name), info
        return
    folders = [_canonical(fs, root)]
    while folders:
        folder = folders.pop()
        try:
            infos = asked(fs.unstrip_protocol(folder), partial(fs.ls, folder, detail=True))
        except OSError as error:  # of this folder alone
            if folder == _canonical(fs, root):
                raise
            refused(error)
            continue
        for info in infos:
            path = _relative(fs, root, info["name"])
            yield path, info
            if info["type"] == "directory" and _may_hold_sidecars(path):
                folders.append(info["name"].rstrip("/"))


def _may_hold_sidecars(path: bytes) -> bool:
    return bool(path) and is_sidecar([*path.split(b"/"), b"a.json"])


def _protocols(fs: fsspec.AbstractFileSystem) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _is_http(fs: fsspec.AbstractFileSystem) -> bool:
    return "http" in _protocols(fs)


def _canonical(fs: fsspec.AbstractFileSystem, root: str) -> str:
    """Return the path of a folder as links below it begin; of HTTP percent-encoded."""
    return str(fs.encode_url(root) if _is_http(fs) else root).rstrip("/")


def _relative(fs: fsspec.AbstractFileSystem, root: str, name: str) -> bytes:
    """Return a listed path relative to the root, as the same folder has it on a disk.

    What HTTP lists are links: percent-encoded, see RFC 3986, in HTML, and maybe ``https`` on a page
    of ``http``. It is empty for one that has a query, as those that sort a page.
    """
    if not _is_http(fs):
        return os.fsencode(name[len(root) :].strip("/"))
    above, link = (each.partition("://")[2] for each in (_canonical(fs, root), name))
    link = html.unescape(link[len(above) :]).strip("/")
    return b"" if {"?", "#"} & {*link} else posixpath.normpath(unquote_to_bytes(link)).lstrip(b".")


def _within(fs: fsspec.AbstractFileSystem, root: str, path: bytes) -> str:
    """Return where a relative path is, as the file system takes it."""
    relative = quote(path) if _is_http(fs) else os.fsdecode(path)
    return f"{_canonical(fs, root)}/{relative}"


def _resolved(fs: fsspec.AbstractFileSystem, info: dict[str, Any], url: str) -> dict[str, Any]:
    """Follow a link of a listing, and mark what is not a file: a pipe would never end."""
    if info["type"] != "file":
        try:
            info = asked(url, partial(fs.info, info["name"]))
        except RemoteError as error:  # a link to nowhere
            if error.status != GONE:
                raise
        except OSError:
            pass
    return info if info["type"] == "file" else {"size": NO_FILE}


class _Object:
    """A sidecar to read, whose size may not be known, or not be what the listing says."""

    def __init__(self, fs: fsspec.AbstractFileSystem, path: str, size: int | None) -> None:
        self._told = size
        self._place = fs.unstrip_protocol(path)
        self.size = max(1, min(size or in_flight.SMALL, TOO_LARGE))
        # One byte more than there should be: if it comes, there may be more behind it.
        self._range = Range(fs, path, 0, self.size + 1)

    def send(self) -> None:
        if self._reject() is None:
            self._range.send()

    def cancel(self) -> None:
        self._range.cancel()

    def result(self) -> bytes | Reject:
        """Wait for its bytes, or why there are none.

        Raises
        ------
        RemoteError
            Its server refuses it, or it is not there any more.
        """
        if reject := self._reject():
            return reject
        try:
            data = self._read(self._range)
            if len(data) > self.size:
                fs, path = self._range.filesystem, self._range.path
                data = self._read(Range(fs, path, 0, TOO_LARGE + 1))
        except OSError as error:
            return unreadable(error)
        return too_large(len(data)) if len(data) > TOO_LARGE else data

    def _reject(self) -> Reject | None:
        if self._told == NO_FILE:
            return Reject("unreadable", "it is not a regular file")
        return None if self._told is None or self._told <= TOO_LARGE else too_large(self._told)

    def _read(self, part: Range) -> bytes:
        try:
            return asked(self._place, lambda: whole(part.read(), self._told or 0))
        except RemoteError as error:
            if error.status != OUT_OF_RANGE or self._told:
                raise
            # By RFC 9110 it has no first byte. A server that says so of anything fails again.
            data: bytes = asked(self._place, partial(part.filesystem.cat_file, part.path))
            return data
