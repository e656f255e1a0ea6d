"""Archives of a million members: in a process of its own, whose memory is measured."""

import json
import subprocess
import sys

import numpy as np
import pytest

from sidecars import record
from tar_bytes import END, header, member

MILLION = 1_000_000
AT_ONCE = 50_000  # blocks that the test itself holds
PEAK = 600e6  # bytes; the three jobs below took 367, 305 and 415 MB

JOB = """
import dataclasses, json, resource, sys
import cutline
job, *arguments = sys.argv[1:]
options = {"compile_table": [cutline.CompileOptions(max_rejects=1)], "extract": []}[job]
summary = getattr(cutline, job)(*arguments, *options)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({**summary.as_json(), "peak": peak}))
"""


def run(*arguments):
    """Run a job on the shards of a folder, and give its summary, and the bytes of its peak."""
    done = subprocess.run([sys.executable, "-c", JOB, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    summary = json.loads(done.stdout)
    print(f"{arguments[0]}: {summary['peak'] / 1e6:,.0f} MB, {summary['seconds']} s")
    return summary


@pytest.fixture
def shard(tmp_path):
    """The path of a shard of 512 MB, which does not stay."""
    (tmp_path / "shards").mkdir()
    path = tmp_path / "shards" / "a.tar"
    yield path
    path.unlink()


def empty_members(count, ending):
    """Headers of empty members, each with a name of its own, block by block.

    The digits of the names are all that differs, so that arrays make a million in a second; with
    them, the checksum (their sum and that of the rest, in the same six digits) is put right.
    """
    template = np.frombuffer(header(b"0000000" + ending), np.uint8)
    powers = 10 ** np.arange(6, -1, -1)
    octals = 8 ** np.arange(5, -1, -1)
    plain = int(template[148:154].tobytes(), 8)
    for start in range(0, count, AT_ONCE):
        numbers = np.arange(start, min(start + AT_ONCE, count))
        digits = numbers[:, None] // powers % 10
        sums = plain + digits.sum(axis=1)
        blocks = np.tile(template, (len(numbers), 1))
        blocks[:, :7] = digits + ord("0")
        blocks[:, 148:154] = sums[:, None] // octals % 8 + ord("0")
        yield blocks.tobytes()


def test_the_blocks_of_the_arrays_are_those_of_the_plain_way():
    blocks = b"".join(empty_members(200, b".json"))
    assert blocks == b"".join(header(b"%07d.json" % number) for number in range(200))


def test_a_million_empty_members_of_one_name_are_unpacked_as_one_file(shard, tmp_path):
    with open(shard, "wb") as file:
        file.writelines(header(b"a") * AT_ONCE for _ in range(MILLION // AT_ONCE))
        file.write(END)
    summary = run("extract", f"{shard.parent}", f"{tmp_path}/out")
    assert (summary["files"], summary["rejects"]) == (1, {"duplicate": MILLION - 1})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", ".cutline"}  # its marks
    assert summary["peak"] < PEAK


def test_a_few_sidecars_are_found_among_a_million_empty_images(shard, tmp_path):
    with open(shard, "wb") as file:
        for number, blocks in enumerate(empty_members(MILLION, b".jpg")):
            data = json.dumps(record(image_name=f"{number}.jpg")).encode()
            file.write(member(b"s%d.json" % number, data) + blocks)
        file.write(END)
    summary = run("compile_table", f"{shard.parent}", f"{tmp_path}/t.parquet")
    assert (summary["rows"], summary["rejects"]) == (MILLION // AT_ONCE, {})
    assert summary["damaged_shards"] == 0
    assert summary["peak"] < PEAK


def test_a_million_empty_sidecars_are_a_million_rejects(shard, tmp_path):
    with open(shard, "wb") as file:
        file.writelines(empty_members(MILLION, b".json"))
        file.write(END)
    summary = run("compile_table", f"{shard.parent}", f"{tmp_path}/t.parquet")
    assert (summary["rows"], summary["rejects"]) == (0, {"bad_json": MILLION})
    assert summary["peak"] < PEAK
