"""The samples of a demo as tar shards, with one that is damaged and hostile members on request."""

import io
import itertools
import os
import tarfile
from collections.abc import Iterable, Iterator

from cutline.demo.samples import Sample

MOST: int = 69  # as many as the real set has


SAMPLES: int = 250  # a shard of a small demo


NOT_REGULAR = (
    ("link-out", tarfile.SYMTYPE, "../.."),
    ("passwd", tarfile.LNKTYPE, "/etc/passwd"),
    ("null", tarfile.CHRTYPE, ""),
    ("pipe", tarfile.FIFOTYPE, ""),
)

BAD_NAMES = ("../escaped.jpg", "/escaped.jpg", "folder/../../escaped.jpg", "x" * 300 + ".jpg")

HARMLESS = ("link-out/below.jpg", "caf\udce9.jpg")  # no link, so a folder; and a name in Latin-1


def write_shards(arriving: Iterable[Sample], data: str, records: int) -> list[str]:
    """Put samples into shards in a new folder, in their order, and give the shards' paths.

    The members of a shard lie flat, as in the real set.
    """
    os.mkdir(data)
    count = max(2, min(MOST, records // SAMPLES))
    size = -(-records // count)
    paths = []
    for number, batch in enumerate(batched(arriving, size)):
        paths.append(f"{data}/data-{number:06}.tar")
        with tarfile.open(paths[-1], "x", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
            for sample in batch:
                add_sample(archive, sample)
    return paths


def batched(samples: Iterable[Sample], size: int) -> Iterator[Iterator[Sample]]:
    """Cut samples into batches, each of which must be read before the next."""
    iterator = iter(samples)
    for first in iterator:
        yield itertools.chain([first], itertools.islice(iterator, size - 1))


def add_sample(archive: tarfile.TarFile, sample: Sample) -> None:
    """Add a sidecar and its image; where nobody can read the sidecar, it is a folder."""
    name = f"{sample.stem}.json"
    if sample.sidecar is None:
        add(archive, name, kind=tarfile.DIRTYPE)
    else:
        add(archive, name, sample.sidecar)
    if sample.image is not None:
        add(archive, sample.image_name, sample.image)


def add(
    archive: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    """Add a member; all that is not named here is always the same."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    archive.addfile(info, io.BytesIO(data))


def add_hostile_shard(path: str, image: bytes) -> dict[str, int]:
    """Write a shard of what no extraction may follow, and count what it must refuse."""
    with tarfile.open(path, "x", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
        for name, kind, link in NOT_REGULAR:
            add(archive, name, kind=kind, link=link)
        for name in (*BAD_NAMES, *HARMLESS):
            add(archive, name, image)
        add(archive, HARMLESS[0], image[::-1])
    return {"bad_name": len(BAD_NAMES), "duplicate": 1, "not_regular": len(NOT_REGULAR)}


def damage(path: str) -> None:
    """Put a member with a damaged header before the end of a shard: what is around it is sound."""
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT) as archive:
        start = archive.offset
        add(archive, "damaged.bin", b"\xff" * 2000)
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"D")
