"""Images whose name is almost what a record says: found, named as such, and never moved away."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from cutline.record import naming, texts
from cutline.trainers import simpletuner
from cutline.verify.orphan_reasons import NO_SIDECAR, Orphan, Sidecars, image_of


class Misnamed(NamedTuple):
    """An image without row, the name that a record has for it, and how that is known.

    `named` is None where the record cannot be read; `sidecar` is that of the record, if known.
    """

    path: bytes
    named: bytes | None
    how: str
    sidecar: bytes | None = None

    def __str__(self) -> str:
        return f"{texts.shown_path(self.path)} ({self.how})"


class _Claim(NamedTuple):
    named: bytes | None
    how: str
    sidecar: bytes | None = None


def group(key: bytes) -> bytes:
    """Return what the keys of a sample have in common, however its files are spelt.

    Letter case, Unicode normalisation, percent signs for other bytes, and an image's extension at
    the end make no difference. The last is what ``x.jpg.json`` has.

    Examples
    --------
    >>> group(b"cats/A.JPG") == group(b"Cats/a")
    True
    """
    plain = unquote_to_bytes(key) if b"%" in key else key
    plain = plain.lower() if plain.isascii() else _folded(plain)
    if b"." not in plain:  # which is almost every key
        return plain
    stem, _, extension = plain.rpartition(b".")
    return stem if extension in simpletuner.IMAGES else plain


def _folded(name: bytes) -> bytes:
    # Composed again at the end: folding a composed letter may take it apart.
    folded = _composed(_composed(os.fsdecode(name)).casefold())
    return folded.encode(errors="surrogateescape")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def find_misnamed(
    orphans: list[Orphan],
    gone: list[bytes],
    images: pa.Table,
    ledger: pa.Table,
    sidecars: Sidecars,
    root: int,
) -> list[Misnamed]:
    """Find the images that no record names, but that one almost names.

    Parameters
    ----------
    orphans
        The images without row; those of which anything else is known are passed over.
    gone
        The filenames of the rows whose image is not there.
    images
        All images, as `check_files.Samples` has them; a name of one of them means no other.
    ledger
        The lines of the ledger, as `orphans.KEYED_LEDGER`.
    sidecars
        The sidecars that are there. One that the ledger does not know is read.
    root
        The folder, open.
    """
    unknown = [orphan.path for orphan in orphans if orphan.reason == NO_SIDECAR[0]]
    if not unknown:
        return []
    wanted = {_group_of(path) for path in unknown}
    there = set(images["filename"].to_pylist())
    own = set(images["key"].to_pylist())
    claims: dict[bytes, list[_Claim]] = defaultdict(list)
    for at, claim in _claims(gone, ledger, there, own):
        if at in wanted:
            claims[at].append(claim)
    for key, sidecar in sidecars.items():
        if (at := group(key)) in wanted and at not in claims:
            claims[at] += _claims_of_sidecar(sidecar, at, there, root, alone=key not in own)
    return [_misnamed(path, found) for path in unknown if (found := claims[_group_of(path)])]


def _group_of(filename: bytes) -> bytes:
    return group(naming.key(os.fsdecode(filename)).encode(errors="surrogateescape"))


def _misnamed(path: bytes, claims: list[_Claim]) -> Misnamed:
    named, how, sidecar = next((one for one in claims if one.sidecar is None), claims[0])
    if named is None:
        return Misnamed(path, named, how, sidecar)
    return Misnamed(path, named, f"{how} {texts.shown_path(named)}: {_difference(path, named)}")


def _claims(
    gone: list[bytes], ledger: pa.Table, there: set[bytes], own: set[bytes]
) -> Iterator[tuple[bytes, _Claim]]:
    for filename in gone:
        yield _group_of(filename), _Claim(filename, "the table names it")
    columns = (ledger[name].to_pylist() for name in ("key", "filename", "source", "reason"))
    for key, filename, source, reason in zip(*columns, strict=True):
        if filename is None:
            if key not in own:  # else it is about that image
                how = f"its sidecar {source} gave no row: {reason}"
                yield group(key), _Claim(None, how, source.encode())
        elif filename not in there:
            yield _group_of(filename), _Claim(filename, "its record names it")


def _claims_of_sidecar(
    sidecar: bytes, at: bytes, there: set[bytes], root: int, *, alone: bool
) -> Iterator[_Claim]:
    shown = texts.shown_path(sidecar)
    named = image_of(sidecar, root)
    if named is None:
        if alone:  # else it is about the image beside it
            yield _Claim(None, f"its sidecar {shown} names no image", sidecar)
    elif named not in there and _group_of(named) == at:
        yield _Claim(named, f"its sidecar {shown} names it")


def _difference(path: bytes, named: bytes) -> str:
    ours, theirs = (_composed(os.fsdecode(name)) for name in (path, named))
    if ours == theirs:
        return "another Unicode normalisation"
    if ours.casefold() == theirs.casefold():
        return "another case"
    return "another extension" if naming.key(ours) == naming.key(theirs) else "another spelling"
