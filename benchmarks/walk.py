"""Ways through the headers of a shard, in this process and in turn: CPU seconds of each.

    python walk.py SHARD ROUNDS

A bare loop of pread, which believes whatever it reads; cutline's walker; and tarfile.
"""

import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from statistics import median
from time import process_time

from cutline.sources.tar.walking import local, walk


def believed(path: str) -> Iterator[tuple[bytes, int, int]]:
    """Give name, offset and size as each header has them: the least that can be done."""
    with open(path, "rb") as file:
        descriptor, pos = file.fileno(), 0
        while (block := os.pread(descriptor, 512, pos))[0]:
            size = int(block[124:135], 8)
            yield block[: block.find(0)], pos + 512, size
            pos += 512 + (size + 511 & -512)


def bare(path: str) -> int:
    return sum(1 for _ in believed(path))


def walker(path: str) -> int:
    with open(path, "rb") as file:
        members = walk(local(file.fileno()), os.path.getsize(path))
        return sum(1 for _ in members)


def by_tarfile(path: str) -> int:
    with tarfile.open(path) as archive:
        return sum(1 for _ in archive)


WAYS: dict[str, Callable[[str], int]] = {"bare": bare, "walker": walker, "tarfile": by_tarfile}


def main(path: str, rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    members = {way(path) for way in WAYS.values()}
    if len(members) > 1:
        sys.exit(f"they found {members} members")
    for _ in range(rounds):
        for name, way in WAYS.items():
            began = process_time()
            way(path)
            seconds[name].append(process_time() - began)
    print(json.dumps({name: median(of) for name, of in seconds.items()}))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]))
