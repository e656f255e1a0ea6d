"""The samples of a demo as tar shards; one may be damaged, and one hostile."""

import io
import itertools
import os
import tarfile
from collections.abc import Iterable, Iterator

from cutline.demo.samples import Sample

_MOST = 69  # shards, as many as the real dataset has

_SAMPLES = 250  # in a shard of a small demo

_NOT_REGULAR = (
    ("link-out", tarfile.SYMTYPE, "../.."),
    ("passwd", tarfile.LNKTYPE, "/etc/passwd"),
    ("null", tarfile.CHRTYPE, ""),
    ("pipe", tarfile.FIFOTYPE, ""),
)

_BAD_NAMES = ("../escaped.jpg", "/escaped.jpg", "folder/../../escaped.jpg", "x" * 300 + ".jpg")

# In a folder where the link was refused, and with a name in Latin-1.
HARMLESS = ("link-out/below.jpg", "caf\udce9.jpg")


def write_shards(arriving: Iterable[Sample], data: str, records: int) -> list[str]:
    """Write samples in their order as shards in a new folder, and return the shards' paths.

    The members of a shard lie flat, as in the real dataset.
    """
    os.mkdir(data)
    count = max(2, min(_MOST, records // _SAMPLES))
    size = -(-records // count)
    paths = []
    for number, batch in enumerate(_batched(arriving, size)):
        paths.append(f"{data}/data-{number:06}.tar")
        with tarfile.open(paths[-1], "x", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
            for sample in batch:
                _add_sample(archive, sample)
    return paths


def _batched(samples: Iterable[Sample], size: int) -> Iterator[Iterator[Sample]]:
    """Yield batches of samples; each must be read before the next."""
    iterator = iter(samples)
    for first in iterator:
        yield itertools.chain([first], itertools.islice(iterator, size - 1))


def _add_sample(archive: tarfile.TarFile, sample: Sample) -> None:
    name = f"{sample.stem}.json"
    if sample.sidecar is None:
        _add(archive, name, kind=tarfile.DIRTYPE)
    else:
        _add(archive, name, sample.sidecar)
    if sample.image is not None:
        _add(archive, sample.image_name, sample.image)


def _add(
    archive: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    """Add a member; its other attributes are always the same."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    archive.addfile(info, io.BytesIO(data))


def add_hostile_shard(path: str, image: bytes) -> dict[str, int]:
    """Write a shard of members that an extraction must refuse, and return how many, by reason."""
    with tarfile.open(path, "x", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
        for name, kind, link in _NOT_REGULAR:
            _add(archive, name, kind=kind, link=link)
        for name in (*_BAD_NAMES, *HARMLESS):
            _add(archive, name, image)
        _add(archive, HARMLESS[0], image[::-1])
    return {"bad_name": len(_BAD_NAMES), "duplicate": 1, "not_regular": len(_NOT_REGULAR)}


def damage(path: str) -> None:
    """Append a member with a damaged header to a shard; all the others stay sound."""
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT) as archive:
        start = archive.offset
        _add(archive, "damaged.bin", b"\xff" * 2000)
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"D")
