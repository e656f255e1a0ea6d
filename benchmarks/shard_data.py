"""Shards to measure on: the samples of data.py, each with 100 KB that stand for an image.

    python shard_data.py FOLDER SHARDS SAMPLES

Written by tarfile, flat, each sidecar before its image, in sorted order.
"""

import io
import json
import os
import random
import sys
import tarfile

from data import sidecar

IMAGE = random.Random(0).randbytes(100_000)


def make(folder: str, shards: int, samples: int) -> None:
    os.makedirs(folder)
    every = sorted(sidecar(number) for number in range(shards * samples))
    for shard in range(shards):
        path = f"{folder}/data-{shard:06}.tar"
        with tarfile.open(path, "x", format=tarfile.GNU_FORMAT) as archive:
            for stem, fields in every[shard * samples :][:samples]:
                add(archive, f"{stem}.json", json.dumps(fields).encode())
                add(archive, fields["image_name"], IMAGE)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
