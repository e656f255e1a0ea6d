"""What is measured on shards: walking, compiling from them, and unpacking them."""

import importlib.util
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import contenders
from measure import Contender, Fresh, Runs, race, run
from room import Room, fresh_folder

SHARDS, SAMPLES = 12, 5_000


@contextmanager
def shards_in(room: Room) -> Iterator[str]:
    """Make the shards, and give their folder."""
    with fresh_folder(room)() as folder:
        run(contenders.script("shard_data", f"{folder}/shards", str(SHARDS), str(SAMPLES)))
        yield f"{folder}/shards"


def walks(shards: str, rounds: int) -> dict[str, float]:
    """Measure the ways through the headers of one shard: microseconds of CPU a member."""
    walked = run(contenders.script("walk", f"{shards}/data-000000.tar", str(10 * rounds)))
    return {name: 1e6 * of / (2 * SAMPLES) for name, of in json.loads(walked.stdout).items()}


def compiles(shards: str, rounds: int, fresh: Fresh) -> list[Runs]:
    """Hold a compile from shards against unpacking them first, and a floor; cutline last."""

    def recipe(folder: str) -> list[str]:
        then = contenders.script("recipe", "compile", f"{folder}/data", contenders.table_in(folder))
        return unpacked(shards, folder, then)

    def unpacked_first(folder: str) -> list[str]:
        then = contenders.cutline("compile", f"{folder}/data", contenders.table_in(folder))
        return unpacked(shards, folder, then)

    def in_place(folder: str) -> list[str]:
        return contenders.cutline("compile", shards, contenders.table_in(folder))

    ways = [
        Contender("GNU tar, then the recipe", recipe),
        Contender("GNU tar, then cutline", unpacked_first),
        Contender("floor", lambda folder: floor("compile", shards, contenders.table_in(folder))),
        Contender("cutline from the shards", in_place),
    ]
    return race(ways, rounds, fresh, contenders.same_rows)


def extractions(shards: str, rounds: int, fresh: Fresh) -> list[Runs]:
    """Hold ways to unpack shards side by side; cutline last."""
    ways = [
        Contender("GNU tar", lambda folder: unpacked(shards, folder, ["true"])),
        Contender(
            "tarfile.extractall",
            lambda folder: contenders.script("tarfile_extract", shards, f"{folder}/data"),
        ),
        Contender("floor", lambda folder: floor("extract", shards, f"{folder}/data")),
        Contender(
            "cutline extract",
            lambda folder: contenders.cutline("extract", shards, f"{folder}/data"),
        ),
    ]
    return race(ways, rounds, fresh, same_files)


def indexings(room: Room, shards: str, rounds: int) -> list[Runs]:
    """Run webshart's indexing of the same shards, where it is installed."""
    if importlib.util.find_spec("webshart") is None:
        return []
    command = [f"{os.path.dirname(contenders.CUTLINE)}/webshart", "extract-metadata"]
    ways = [
        Contender(
            "webshart extract-metadata",
            lambda folder: [
                *command,
                "--source",
                shards,
                "--destination",
                f"{folder}/index",
                "--max-workers",
                "2",
            ],
        )
    ]
    return race(ways, rounds, fresh_folder(room), lambda _: ["true"])


def floor(verb: str, shards: str, output: str) -> list[str]:
    return contenders.script("shard_floor", verb, shards, output)


def unpacked(shards: str, folder: str, then: list[str]) -> list[str]:
    """Unpack with GNU tar as the recipe does, one shard after the other, and go on."""
    loop = 'mkdir "$2/data" && for f in "$1"/*.tar; do tar xf "$f" -C "$2/data" || exit; done'
    return ["sh", "-c", f"{loop} && {shlex.join(then)}", "sh", shards, folder]


def same_files(folder: str) -> list[str]:
    digest = 'cd "$1/data" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum'
    return ["sh", "-c", digest, "sh", folder]
