"""A worker that sees other sidecars, or another folder of the table, than the client does."""

import shutil

import pytest

import cutline
from datasets_at_home import OPTIONS, PARTITION, at_home, outcome
from hosts import empty, instead, moved, read_only, without
from storage import Wanted, older_copy, twin

COMPILE = (*PARTITION, "--max-rejects", "1")


def case(name, make):
    """Return a case: `make` takes a folder, and returns the folder that differs and the mounts."""
    return pytest.param(make, id=name)


def older(place):
    return place / "data", instead(place / "data", older_copy(place / "data", place / "older"))


def of_equal_sizes_and_times(place):
    return place / "data", instead(place / "data", twin(place / "data", place / "twin"))


CASES = [
    case("A: no SOURCE", lambda at: (at / "data", without(at, but=["out"]))),
    case("B: an empty SOURCE", lambda at: (at / "data", empty(at / "data"))),
    case("C: an older SOURCE", older),
    case("C2: of equal sizes and times", of_equal_sizes_and_times),
    case("D: its own TABLE folder", lambda at: (at / "out", empty(at / "out"))),
    case("D2: no TABLE folder", lambda at: (at / "out", without(at, but=["data"]))),
    case("P: all under another path", lambda at: (at, moved(at))),
    case("read-only TABLE folder", lambda at: (at / "out", read_only(at / "out"))),
]


@pytest.mark.parametrize("make", CASES)
def test_no_row_is_wrong_where_one_worker_sees_other_files(cluster, datasets, place, make):
    data, table = datasets.copy_loose(place)
    folder, *mounts = make(place)
    wanted = Wanted(table, data, datasets.of_loose.without_captions(), folder)
    with cluster.worker("odd", *mounts):
        wanted.check_right_or_told(cluster.cutline("compile", data, table, *COMPILE))
    wanted.check_right(cluster.cutline("compile", data, table, *COMPILE))


@pytest.mark.parametrize(
    "make",
    [
        case("U2: an older SOURCE", older),
        case("U3: an empty SOURCE", lambda at: (at / "data", empty(at / "data"))),
    ],
)
def test_no_row_is_wrong_behind_a_file_url(cluster, datasets, place, make):
    data, table = datasets.copy_loose(place)
    folder, *mounts = make(place)
    with at_home():
        cutline.compile_table(f"file://{data}", place / "home.parquet", OPTIONS)
    wanted = Wanted(table, data, outcome(place / "home.parquet", data), folder)
    with cluster.worker("odd", *mounts):
        wanted.check_right_or_told(cluster.cutline("compile", f"file://{data}", table, *COMPILE))
    wanted.check_right(cluster.cutline("compile", f"file://{data}", table, *COMPILE))


def test_a_source_that_a_worker_may_only_read_is_no_fault(cluster, datasets, place):
    data, table = datasets.copy_loose(place)
    with cluster.worker("odd", read_only(data)):
        result = cluster.cutline("compile", data, table, *COMPILE)
    Wanted(table, data, datasets.of_loose.without_captions(), data).check_right(result)
    assert "worker-odd" not in result.stdout + result.stderr


def test_a_worker_of_another_user_who_may_not_write_is_told(cluster, datasets, place):
    """Case U."""
    data, table = datasets.copy_loose(place)
    place.chmod(0o755)
    wanted = Wanted(table, data, datasets.of_loose.without_captions(), table.parent)
    with cluster.worker("odd", user=65534):
        wanted.check_right_or_told(cluster.cutline("compile", data, table, *COMPILE))
    wanted.check_right(cluster.cutline("compile", data, table, *COMPILE))


def test_one_worker_of_sixteen_loses_no_row(cluster, datasets, place):
    """Case L, and the caption files after it."""
    data, table = datasets.copy_loose(place)
    wanted = Wanted(table, data, datasets.of_loose.without_captions(), data)
    with (
        cluster.worker("good", name="worker-many", threads=14),
        cluster.worker("odd", empty(data)),
    ):
        wanted.check_right_or_told(cluster.cutline("compile", data, table, *COMPILE))
        wanted.check_right(cluster.cutline("compile", data, table, *COMPILE))


def test_a_client_with_its_own_folder_of_the_table_is_told(cluster, datasets, place):
    """Case K: the workers' folder under the path of TABLE is another than the client's."""
    data, table = datasets.copy_loose(place)
    where = {"mounts": [empty(table.parent)]}
    result = cluster.cutline("compile", data, table, *COMPILE, where=where)
    said = result.stdout + result.stderr
    assert result.returncode == 1
    assert "Traceback" not in said
    assert any("worker-good" in line and str(table.parent) in line for line in said.splitlines())
    assert list(table.parent.iterdir()) == [], "something is left for the workers"


def test_a_private_copy_of_an_earlier_table_keeps_no_old_part(cluster, datasets, place):
    """Case W."""
    data, table = datasets.copy_loose(place)
    compiled = cluster.cutline("compile", data, table, *COMPILE)
    assert compiled.returncode == 0, compiled.stderr
    private = shutil.copytree(table.parent, place / "private")
    for path in sorted(data.glob("00000[1-5]*.json")):
        path.write_bytes(
            path.read_bytes().replace(b'"short_caption": "', b'"short_caption": "NEW ')
        )
    with at_home():
        cutline.compile_table(data, place / "t.parquet", OPTIONS)
    wanted = Wanted(table, data, outcome(place / "t.parquet", data), table.parent)
    with cluster.worker("odd", instead(table.parent, private)):
        result = cluster.cutline("compile", data, table, *COMPILE)
    if result.returncode == 0:
        wanted.check_right(result)
    assert wanted.is_told(result.stdout + result.stderr), result.stderr
    wanted.check_right(cluster.cutline("compile", data, table, *COMPILE))


def exchange(shards, to, *, missing=()):
    """Copy shards, one of them under the name of two others, and leave some out."""
    shutil.copytree(shards, to)
    for number in (0, 5):
        shutil.copy(shards / "data-000001.tar", to / f"data-{number:06}.tar")
    for number in missing:
        (to / f"data-{number:06}.tar").unlink()
    return to


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param((3,), id="G2: one shard is missing and others are older"),
        pytest.param(range(8), id="G2: none is there"),
        pytest.param((), id="G3: others are older"),
    ],
)
def test_no_row_is_wrong_where_one_worker_sees_other_shards(cluster, datasets, place, missing):
    shards, table = datasets.copy_shards(place)
    other = exchange(shards, place / "other", missing=missing)
    wanted = Wanted(table, place / "data", datasets.of_shards, shards)
    with cluster.worker("odd", instead(shards, other)):
        wanted.check_right_or_told(cluster.cutline("compile", shards, table, *COMPILE))
    wanted.check_right(cluster.cutline("compile", shards, table, *COMPILE))
