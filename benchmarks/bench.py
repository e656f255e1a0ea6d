"""Hold cutline against the recipe, the naive bag and a floor, as whole processes.

    python bench.py [--records N] [--full] [--rounds N] [--only MEASUREMENT ...]

Prints, in Markdown, the runs side by side and a verdict for each target. It takes some minutes,
and memory for four copies of the data; `--full` adds the size of the real dataset, and shards on a
disk of which nothing is in memory.
"""

import argparse
import hashlib
import json
import math
import os
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import contenders
import samples
import shards
from measure import ContenderError, Fresh, Runs, kill_when, race, run, say
from room import (
    MountError,
    NoDiskError,
    Room,
    fresh_cold,
    fresh_data,
    fresh_ext4,
    fresh_folder,
    open_disk,
    open_room,
)
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

BUSY = 0.5  # processes that run or wait, on average over the last minute
FULL_RECORDS = 1_161_957  # what the recipe counts in the real dataset
SHARDS = f"{shards.SHARDS} shards of {shards.SAMPLES:,} samples"
DISK_BYTES = 4.5 * 1.1e5 * shards.SHARDS * shards.SAMPLES  # the shards, and three unpackings
DISK_ROUNDS = 1  # at most: one takes five minutes
WATCHED_ROUNDS = 5  # at least: it looks for a twentieth, which fewer rounds drown in noise


class Bench(NamedTuple):
    """What every measurement needs: where, on which sidecars, how often."""

    room: Room
    data: str
    records: int
    rounds: int


class Report(NamedTuple):
    """What a measurement found, and what that says about cutline."""

    title: str
    runs: Sequence[Runs]
    verdicts: Sequence[Verdict]


Measurement = Callable[[Bench], Report]


def compile_table(bench: Bench) -> Report:
    """Hold everybody's way from sidecars to one table side by side."""
    fresh = fresh_folder(bench.room)
    runs = race(contenders.compilers(bench.data), bench.rounds, fresh, contenders.same_rows)
    recipe, *_, floor, cutline = runs
    title = f"compile of {bench.records:,}"
    faster = 2.3 if bench.records >= FULL_RECORDS else 1.6
    return Report(
        title,
        runs,
        [
            at_least(f"{title}: times the recipe's speed", speed(cutline, recipe), faster),
            at_most(f"{title}: times the floor on Dask's", cutline.seconds / floor.seconds, 1.25),
            peak(title, cutline),
        ],
    )


def rows_of_compile(bench: Bench) -> Report:
    """Hold the stage that reads, judges and writes rows against the floor's."""
    fresh = fresh_folder(bench.room)
    runs = race(contenders.stages(bench.data), bench.rounds, fresh, contenders.same_rows)
    *floors, cutline = map(rows_seconds, runs)
    title = f"rows of {bench.records:,}: times the seconds of the"
    limits = zip(runs[:-1], floors, (1.3, 1.25, 1.25), strict=True)
    verdicts = [at_most(f"{title} {one.name}", cutline / floor, at) for one, floor, at in limits]
    return Report(title, [], verdicts)


def compile_again(bench: Bench) -> Report:
    """Hold a second run, which finds everything done, against the first."""
    first, second = Runs("first run", []), Runs("second run", [])
    fresh = fresh_folder(bench.room)
    for _ in range(bench.rounds):
        with fresh() as folder:
            command = contenders.cutline("compile", bench.data, contenders.table_in(folder))
            first.results.append(run(command))
            second.results.append(run(command))
            must_have_reused_all(said(second)[-1])
    title = f"second run of {bench.records:,}"
    measure, share = f"{title}: times the first's seconds", second.seconds / first.seconds
    verdict = at_most_in_full(bench, measure, share, 1 / 3)
    return Report(title, [first, second], [verdict, peak(title, second)])


def resume(bench: Bench) -> Report:
    """Hold a run that goes on after another was killed against one that nobody disturbs."""
    whole, resumed = Runs("undisturbed", []), Runs("after a kill", [])
    fresh, size = fresh_folder(bench.room), min(10_000, max(1, bench.records // 40))
    done = math.ceil(0.9 * math.ceil(bench.records / size))  # parts, when it is killed
    for _ in range(bench.rounds):
        with fresh() as folder:
            table = contenders.table_in(folder)
            whole.results.append(run(contenders.compile_in_parts(bench.data, table, size)))
            expected = digest_of(table)
        with fresh() as folder:
            table, parts = contenders.table_in(folder), contenders.parts_in(folder)
            command = contenders.compile_in_parts(bench.data, table, size)
            kill_when(lambda parts=parts: count_in(parts) >= done, command)
            resumed.results.append(run(command))
            must_be_resumed(said(resumed)[-1], digest_of(table) == expected)
    title = f"resume of {bench.records:,} at 90 % of the parts"
    measure, share = f"{title}: times the whole's seconds", resumed.seconds / whole.seconds
    verdict = at_most_in_full(bench, measure, share, 0.5)
    return Report(title, [whole, resumed], [verdict, peak(title, resumed)])


def graph(bench: Bench) -> Report:
    """Weigh the graphs that a scheduler is sent."""
    naive, cutline = (int(run(command).stdout) / 1e3 for command in contenders.graphs(bench.data))
    title = f"graph of {bench.records:,}"
    return Report(
        title, [], [noted(f"{title}: kB, naive bag", naive), at_most(f"{title}: kB", cutline, 1000)]
    )


def captions_in_memory(bench: Bench) -> Report:
    """Hold the caption loops side by side in memory."""
    title = f"captions of {bench.records:,} on {bench.room.kind}"
    return captions(bench, title, fresh_data(bench.room, bench.data), faster=2)


def captions_on_ext4(bench: Bench) -> Report:
    """Hold the caption loops side by side, each on a fresh ext4, where one can be mounted."""
    title = f"captions of {bench.records:,} on a fresh ext4"
    fresh = fresh_ext4(bench.room, bench.data, bench.records)
    try:
        return captions(bench, title, fresh, faster=2.5)
    except MountError as reason:
        return Report(title, [], [not_measured(title, str(reason))])


def captions(bench: Bench, title: str, fresh: Fresh, faster: float) -> Report:
    """Hold cutline against the recipe, and note what is between them and the floor."""
    with fresh_folder(bench.room)() as folder:
        table = contenders.table_in(folder)
        run(contenders.cutline("compile", bench.data, table))
        runs = race(contenders.captioners(table), bench.rounds, fresh, contenders.same_captions)
    recipe, synced, floor, *ours = runs
    verdicts = [noted(f"{title}, floor: times the recipe's speed", speed(floor, recipe))]
    for each in ours:
        name = f"{title}, {each.name}"
        verdicts += [
            at_least(f"{name}: times the recipe's speed", speed(each, recipe), faster),
            noted(f"{name}: times the speed of {synced.name}", speed(each, synced)),
        ]
    return Report(title, runs, [*verdicts, peak(title, *ours)])


def verify(bench: Bench) -> Report:
    """Hold a verification of a table and its folder against the compile of the same folder.

    The folder has an image and a caption file for each sidecar, as after the whole recipe; both
    list it. Nothing that fails is found, and one image in fifty has no row and is explained.
    """
    compiled, verified = Runs("compile", []), Runs("verify", [])
    fresh = fresh_folder(bench.room)
    with samples.samples_in(bench.room, bench.data) as data:
        for _ in range(bench.rounds):
            with fresh() as folder:
                table = contenders.table_in(folder)
                compiled.results.append(run(contenders.cutline("compile", data, table)))
                verified.results.append(run(contenders.cutline("verify", table, data)))
                must_have_verified_all(said(compiled)[-1], said(verified)[-1])
    title = f"verify of {bench.records:,}"
    share = verified.seconds / compiled.seconds
    return Report(
        title,
        [compiled, verified],
        [at_most(f"{title}: times the compile's seconds", share, 1.0), peak(title, verified)],
    )


def watched(bench: Bench) -> Report:
    """Hold a compile with the dashboard and the Captions page against one without either.

    The workers tell, the scheduler sums, and the pages are there to be opened. Two figures are
    judged: the seconds of the whole process, which a user waits, and the job's own (of its
    summary), which begin when the cluster is there. What it costs to open the pages is noted: the
    import of bokeh and their first drawing, which are the same however long the job is.
    """
    rounds, fresh = max(WATCHED_ROUNDS, bench.rounds), fresh_folder(bench.room)
    runs = race(contenders.watched(bench.data), rounds, fresh, contenders.same_rows)
    alone, seen, opened = runs
    title = f"watched compile of {bench.records:,}"
    own = job_seconds(seen) / job_seconds(alone)
    return Report(
        title,
        runs,
        [
            at_most(f"{title}: times the seconds of one not watched", 1 / speed(seen, alone), 1.05),
            at_most(f"{title}: times the seconds of the job alone", own, 1.05),
            noted(f"{title}: times the CPU seconds", seen.cpu_seconds / alone.cpu_seconds),
            noted(
                f"{title}: times the seconds where its pages are opened", 1 / speed(opened, alone)
            ),
        ],
    )


def walk_of_shards(bench: Bench) -> Report:
    """Hold the walker against a bare loop of pread and against tarfile."""
    with shards.shards_in(bench.room) as folder:
        took = shards.walks(folder, bench.rounds)
    title = "headers of a shard"
    return Report(
        title,
        [],
        [
            noted(f"{title}: CPU us a member", took["walker"]),
            at_most(f"{title}: times a bare loop's CPU", took["walker"] / took["bare"], 1.5),
            at_least(f"{title}: times tarfile's speed", took["tarfile"] / took["walker"], 4),
        ],
    )


def compile_from_shards(bench: Bench) -> Report:
    """Hold a compile straight from shards against unpacking them first."""
    with shards.shards_in(bench.room) as folder:
        runs = shards.compiles(folder, bench.rounds, fresh_folder(bench.room))
        others = shards.indexings(bench.room, folder, bench.rounds)
    return unpacking_first(f"compile of {SHARDS}", runs, others)


def compile_from_cold_shards(bench: Bench) -> Report:
    """Hold it against unpacking on a disk, when nothing of the shards is in memory."""
    return cold(bench, f"compile of {SHARDS}", shards.compiles, unpacking_first)


def unpacking_first(title: str, runs: list[Runs], others: Sequence[Runs] = ()) -> Report:
    _, unpacked, floor, cutline = runs
    return Report(
        title,
        [*runs, *others],
        [
            noted(f"{title}, floor: times the speed of unpacking first", speed(floor, unpacked)),
            at_least(f"{title}: times the speed of unpacking first", speed(cutline, unpacked), 20),
            peak(title, cutline),
        ],
    )


def extract_shards(bench: Bench) -> Report:
    """Hold ways to unpack shards side by side."""
    with shards.shards_in(bench.room) as folder:
        runs = shards.extractions(folder, bench.rounds, fresh_folder(bench.room))
    return unpackings(f"unpacking of {SHARDS}", runs)


def extract_cold_shards(bench: Bench) -> Report:
    """Hold them side by side on a disk."""
    return cold(bench, f"unpacking of {SHARDS}", shards.extractions, unpackings)


def unpackings(title: str, runs: list[Runs]) -> Report:
    gnu, by_tarfile, floor, cutline = runs
    return Report(
        title,
        runs,
        [
            noted(f"{title}, floor: times GNU tar's speed", speed(floor, gnu)),
            noted(f"{title}, floor: times tarfile's speed", speed(floor, by_tarfile)),
            at_least(f"{title}: times GNU tar's speed", speed(cutline, gnu), 1.5),
            at_least(f"{title}: times tarfile's speed", speed(cutline, by_tarfile), 4),
            peak(title, cutline),
        ],
    )


def cold(
    bench: Bench,
    title: str,
    contest: Callable[[str, int, Fresh], list[Runs]],
    judge: Callable[[str, list[Runs]], Report],
) -> Report:
    """Hold ways to use shards side by side on a disk, if there is one, none of them in memory."""
    title = f"{title}, cold on a disk"
    rounds = min(bench.rounds, DISK_ROUNDS)
    try:
        with open_disk(DISK_BYTES) as disk, shards.shards_in(disk) as folder:
            runs = contest(folder, rounds, fresh_cold(disk, folder))
    except NoDiskError as reason:
        return Report(title, [], [not_measured(title, str(reason))])
    return judge(title, runs)


def at_most_in_full(bench: Bench, measure: str, share: float, limit: float) -> Verdict:
    """Judge the full size only: a small run is mostly starting up, and a second one has to, too."""
    if bench.records < FULL_RECORDS:
        return noted(measure, share)
    return at_most(measure, share, limit)


def peak(title: str, *ours: Runs) -> Verdict:
    largest = max(runs.peak_bytes for runs in ours)
    return at_most(f"{title}: MB of the largest process", largest / 1e6, 500)


def speed(runs: Runs, reference: Runs) -> float:
    """Say how many times as fast as the reference they were."""
    return reference.seconds / runs.seconds


def rows_seconds(runs: Runs) -> float:
    return float(statistics.median(summary["stages"]["rows"] for summary in said(runs)))


def job_seconds(runs: Runs) -> float:
    return float(statistics.median(summary["seconds"] for summary in said(runs)))


def said(runs: Runs) -> list[dict[str, Any]]:
    return [json.loads(result.stdout) for result in runs.results]


def must_have_reused_all(summary: dict[str, Any]) -> None:
    if summary["reused_parts"] != summary["parts"]:
        raise ContenderError(f"the second run did parts again: {summary}")


def must_be_resumed(summary: dict[str, Any], same: bool) -> None:  # noqa: FBT001 - the thing itself
    if summary["reused_parts"] < 0.85 * summary["parts"]:
        raise ContenderError(f"the resumed run did too many parts again: {summary}")
    if not same:
        raise ContenderError("the resumed run's table differs from the undisturbed one's")


def count_in(folder: str) -> int:
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


def digest_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def must_have_verified_all(compiled: dict[str, Any], verified: dict[str, Any]) -> None:
    there = (compiled["rows"], compiled["sidecars"])
    if not verified["ok"] or (verified["rows"], verified["images"]) != there:
        raise ContenderError(f"the verification has not seen all of {there}: {verified}")


MEASUREMENTS: dict[str, Measurement] = {
    "compile": compile_table,
    "rows": rows_of_compile,
    "second-run": compile_again,
    "resume": resume,
    "graph": graph,
    "verify": verify,
    "watched": watched,
    "captions-memory": captions_in_memory,
    "captions-ext4": captions_on_ext4,
    "shards-walk": walk_of_shards,
    "shards-compile": compile_from_shards,
    "shards-extract": extract_shards,
    "shards-compile-cold": compile_from_cold_shards,
    "shards-extract-cold": extract_cold_shards,
}
AT_FULL_SIZE = ["compile", "rows", "second-run", "resume", "graph"]
ON_DISK = ["shards-compile-cold", "shards-extract-cold"]


def main(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    quick = [name for name in MEASUREMENTS if options.full or name not in ON_DISK]
    only = [name for name in MEASUREMENTS if name in (options.only or quick)]
    sizes = {options.records: only}
    if options.full:
        sizes |= {FULL_RECORDS: [name for name in AT_FULL_SIZE if name in only]}
    verdicts: list[Verdict] = []
    # Captions and verify hold up to four files a record; the full data stand alone, with tables.
    files = max(4 * options.records, options.full * FULL_RECORDS * 5 // 4)
    with open_room(files) as room:
        print(machine(room.kind))
        warn(room)
        for records, names in sizes.items():
            chosen = [MEASUREMENTS[name] for name in names]
            for report in measure(room, records, options.rounds, chosen):
                if report.runs:
                    print(f"\n### {report.title}\n\n{runs_table(report.runs)}", flush=True)
                verdicts += report.verdicts
    print(f"\n### Verdicts\n\n{verdicts_table(verdicts)}")


def warn(room: Room) -> None:
    """Say what makes the figures worth less."""
    if room.kind != "tmpfs":
        say(f"no room in memory: the seconds are those of {room.path}, too")
    if os.getloadavg()[0] > BUSY:
        say("this machine is at work on something else: the seconds will be off")


def measure(
    room: Room, records: int, rounds: int, measurements: Sequence[Measurement]
) -> Iterator[Report]:
    """Make the data of one size and measure on it."""
    if not measurements:
        return
    with fresh_folder(room)() as folder:
        data = f"{folder}/data"
        say(f"making {records:,} sidecars")
        run(contenders.script("data", data, str(records)))
        for measurement in measurements:
            say(f"{measurement.__name__}, {records:,}")
            yield measurement(Bench(room, data, records, rounds))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold cutline against the recipe and others.")
    parser.add_argument("--records", type=int, default=200_000, help="how many sidecars (200000)")
    parser.add_argument(
        "--full", action="store_true", help=f"also with {FULL_RECORDS:,}, and with shards on a disk"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender (3)")
    parser.add_argument("--only", nargs="+", choices=[*MEASUREMENTS], help="not all")
    return parser.parse_args(arguments)


def stop(*_: object) -> NoReturn:
    """Make a SIGTERM unwind as Ctrl-C does, so that nothing stays mounted."""
    sys.exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        main(sys.argv[1:])
    except ContenderError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
