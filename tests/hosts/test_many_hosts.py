"""cutline on several hosts that see the same files: what it leaves is what one machine leaves."""

import pytest

from datasets_at_home import PARTITION, outcome, without_seconds


@pytest.fixture(scope="module")
def three_workers(cluster):
    with cluster.worker("third"), cluster.worker("fourth"):
        yield cluster


def test_a_table_and_its_caption_files_are_those_of_one_machine(three_workers, datasets, place):
    data, table = datasets.copy_loose(place)
    compiled = three_workers.cutline("compile", data, table, *PARTITION)
    assert compiled.returncode == 0, compiled.stderr
    written = three_workers.cutline("captions", table, data)
    assert written.returncode == 0, written.stderr
    assert outcome(table, data) == datasets.of_loose
    verified = three_workers.cutline("verify", table, data, "--json", "--quiet")
    assert without_seconds(verified.stdout) == datasets.verified


def test_a_table_of_shards_is_that_of_one_machine(three_workers, datasets, place):
    shards, table = datasets.copy_shards(place)
    compiled = three_workers.cutline("compile", shards, table, *PARTITION)
    assert compiled.returncode == 0, compiled.stderr
    assert outcome(table, shards) == datasets.of_shards


def test_the_whole_recipe_gives_what_it_gives_on_one_machine(three_workers, datasets, place):
    datasets.copy_root(place)
    ran = three_workers.cutline("run", place, *PARTITION)
    # The planted orphans are found, so the status is 1.
    assert ran.returncode == 1, ran.stderr
    assert "images without row" in ran.stderr
    assert outcome(place / "place.parquet", place / "data") == datasets.of_root
