"""Runs again after a shard was replaced, files were edited, and the printed advice was followed."""

import io
import os
import re
import shlex

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import cutline
from cutline import CutlineError, ExtractOptions, RunOptions, recipe
from cutline.cli.commands import cutline as command
from cutline.recipe import whole_run
from jobs_at_work import Listener
from sidecars import as_bytes, record
from tar_bytes import END, by_tarfile, header, member
from trees import tree

MOVE = RunOptions(orphans="move")


def jpeg(shade):
    with io.BytesIO() as file:
        Image.new("L", (1024, 768), shade).save(file, "JPEG")
        return file.getvalue()


def sample(name, shade=0, **fields):
    fields = {"width": 1024, "height": 768, **fields}
    sidecar = as_bytes(record(f"{name}.jpg", **fields))
    return [(f"{name}.jpg", jpeg(shade)), (f"{name}.json", sidecar)]


def samples(word="One", shade=0):
    return [
        member
        for name in "abcdefghijklmnopqrstuvwxyz"
        for member in sample(name, shade, short_caption=f"{word} {name}.")
    ]


ORPHANS = [*sample("no width", width=...), ("alone.jpg", jpeg(9)), ("stray.txt", b"A text.")]


class Dataset:
    """A folder ROOT with shards in ROOT/data."""

    def __init__(self, root):
        self.root, self.data = root, root / "data"
        self.data.mkdir(parents=True)

    def shard(self, members, name="p.tar"):
        (self.root / "new").write_bytes(by_tarfile(members))
        os.rename(self.root / "new", self.data / name)

    def run(self, options=recipe.RUN_DEFAULTS, **where):
        self.listener = Listener()
        return recipe.run(self.root, chosen=options, watcher=self.listener, **where)

    def captions(self):
        rows = pq.read_table(self.root / "set.parquet").to_pylist()
        return {row["filename"]: row["caption"] for row in rows}

    def files(self, ending):
        return {name: data for name, data in tree(self.data).items() if name.endswith(ending)}


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path / "set")


def check(dataset, word, shade):
    """Check that rows, caption files and images are those of a shard."""
    assert set(dataset.captions().values()) == {f"{word} {x}." for x in map(chr, range(97, 123))}
    assert {data[:3] for data in dataset.files(".txt").values()} == {word.encode()}
    assert set(dataset.files(".jpg").values()) == {jpeg(shade)}


def test_a_shard_that_was_replaced_by_a_corrected_one_is_what_the_next_run_has(dataset):
    dataset.shard(samples())
    assert dataset.run().shortfall == ""
    dataset.shard(samples("Two", 5))
    again = dataset.run()
    assert (again.shortfall, again.extract.edited, again.captions.replaced) == ("", 0, 26)
    check(dataset, "Two", 5)


def test_workers_have_what_a_corrected_and_renamed_shard_holds(dataset, client):
    dataset.shard(samples())
    dataset.run(client=client)
    (dataset.data / "p.tar").unlink()
    dataset.shard(samples("Two", 5), "q.tar")
    assert dataset.run(client=client).shortfall == ""
    check(dataset, "Two", 5)


def test_edits_are_kept_with_status_0_and_replaced_on_demand(dataset):
    dataset.shard(samples())
    dataset.run()
    (dataset.data / "a.txt").write_text("What I saw.")
    (dataset.data / "b.jpg").write_bytes(jpeg(77))
    mended = as_bytes(record("c.jpg", width=1024, height=768, short_caption="Mended."))
    (dataset.data / "c.json").write_bytes(mended)
    dataset.shard(samples("Two", 5))
    for _ in range(2):
        again = dataset.run()
        assert again.shortfall == ""
        assert (again.extract.edited, again.captions.edited) == (2, 1)
        assert again.verify.findings["edited_caption_files"].count == 1
        assert dataset.files("a.txt") == {"a.txt": b"What I saw."}
        assert dataset.files("b.jpg") == {"b.jpg": jpeg(77)}
        assert dataset.captions()["c.jpg"] == "Mended."
    assert len([line for line in dataset.listener.said if "--overwrite" in line]) == 2
    assert dataset.run(RunOptions(ExtractOptions(overwrite=True))).shortfall == ""
    check(dataset, "Two", 5)


def test_an_unfinished_shard_leaves_nothing_wrong_once_it_is_whole(dataset):
    whole = b"".join(member(name.encode(), data) for name, data in samples(shade=5)) + END
    cut = whole.index(b"m.jpg") + 700
    (dataset.data / "p.tar").write_bytes(whole[:cut] + bytes(len(whole) - cut + (1 << 16)))
    unfinished = dataset.run()
    assert "1 of 1 shards are damaged" in unfinished.shortfall
    assert "m.jpg" not in tree(dataset.data)
    (dataset.data / "p.tar").write_bytes(whole)
    assert dataset.run().shortfall == ""
    check(dataset, "One", 5)


def advised(text):
    """The command that a message advises."""
    return shlex.split(re.findall("`(cutline verify [^`]+)`", text)[0])[1:]


def test_whoever_moves_orphans_as_advised_and_runs_again_gets_status_0(dataset):
    dataset.shard([*samples(), *ORPHANS])
    first = dataset.run()
    assert f"`cutline run {dataset.root} --orphans move`" in first.shortfall
    again = cutline.verify_dataset(first.compile.table, first.captions.data)
    _, table, data, _, move = advised(again.shortfall)
    assert cutline.move_orphans(table, data, move.removeprefix("move=")).ok
    for _ in range(2):
        assert dataset.run().shortfall == ""
        assert not {"no width.jpg", "no width.json", "alone.jpg", "stray.txt"} & set(tree(data))
    assert "4 files that orphans were moved with stay away." in dataset.listener.said


def test_a_run_moves_orphans_itself_and_the_next_one_is_ok(dataset, client):
    dataset.shard([*samples(), *ORPHANS])
    assert "--orphans move`" in dataset.run(client=client).shortfall
    assert dataset.run(MOVE, client=client).shortfall == ""
    assert (dataset.root / "orphans/alone.jpg").exists()
    assert dataset.run(client=client).shortfall == ""


def test_orphans_that_come_later_go_to_a_folder_of_their_own(dataset):
    dataset.shard([*samples(), *ORPHANS])
    dataset.run(MOVE)
    dataset.shard([("late.jpg", jpeg(1))], "q.tar")
    assert dataset.run(MOVE).shortfall == ""
    assert (dataset.root / "orphans-2/late.jpg").exists()
    assert dataset.run().shortfall == ""


def test_each_version_of_an_orphan_that_was_moved_stays_away(dataset):
    dataset.shard([*samples(), *ORPHANS])
    dataset.run(MOVE)
    dataset.shard([("alone.jpg", jpeg(8))], "a.tar")
    assert dataset.run(MOVE).shortfall == ""
    assert (dataset.root / "orphans-2/alone.jpg").read_bytes() == jpeg(8)
    (dataset.data / "a.tar").unlink()
    assert dataset.run().shortfall == ""
    assert not (dataset.data / "alone.jpg").exists()


def test_orphans_of_a_corrected_shard_are_unpacked_again(dataset):
    dataset.shard([*samples(), *ORPHANS])
    dataset.run(MOVE)
    dataset.shard([*samples("Two", 5), *sample("no width", 5, short_caption="Two!")])
    assert dataset.run().shortfall == ""
    assert dataset.captions()["no width.jpg"] == "Two!"


def test_orphans_that_another_tool_unpacked_stay_away_too(dataset):
    dataset.shard([*samples(), *ORPHANS])
    for name, data in [*samples(), *ORPHANS]:
        (dataset.data / name).write_bytes(data)
    assert dataset.run().shortfall
    assert dataset.run(MOVE).shortfall == ""
    assert dataset.run().shortfall == ""


def test_a_folder_that_is_moved_as_a_sidecar_stays_away_until_it_is_put_back(dataset):
    folder = header(b"alone.json/", 0, flag=b"5") + member(b"alone.json/text", b"In it")
    shard = folder + by_tarfile([*samples(), ("alone.jpg", jpeg(9))])
    (dataset.data / "p.tar").write_bytes(shard)
    dataset.run()
    before = tree(dataset.data)
    assert dataset.run(MOVE).shortfall == ""
    assert (dataset.root / "orphans/alone.json/text").read_bytes() == b"In it"
    assert dataset.run().shortfall == ""
    assert not {"alone.jpg", "alone.json"} & {path.name for path in dataset.data.iterdir()}
    table, data = recipe.layout(dataset.root)
    cutline.restore_orphans(table, data, dataset.root / "orphans")
    assert tree(dataset.data) == before
    assert not (dataset.root / "orphans").exists()


def test_what_was_put_back_is_unpacked_and_looked_at_as_before(dataset):
    dataset.shard([*samples(), *ORPHANS])
    dataset.run(MOVE)
    table, data = recipe.layout(dataset.root)
    cutline.restore_orphans(table, data, dataset.root / "orphans")
    (dataset.data / "alone.jpg").unlink()
    assert dataset.run().extract.files == 1
    assert (dataset.data / "alone.jpg").exists()


def test_sidecars_that_vanish_after_they_were_unpacked_fail_the_run(dataset, monkeypatch):
    dataset.shard(samples())
    extract = whole_run.extract

    def losing(*arguments, **named):
        summary = extract(*arguments, **named)
        (dataset.data / "a.json").unlink()
        return summary

    monkeypatch.setattr(whole_run, "extract", losing)
    with pytest.raises(CutlineError, match=r"Of 26 sidecars that were unpacked .* 25 are listed"):
        dataset.run()


def test_sidecars_that_became_no_file_are_not_missed(dataset):
    dataset.shard([*samples(), *sample("../out")])
    summary = dataset.run()
    assert (summary.extract.rejects, summary.shortfall) == ({"bad_name": 2}, "")


def test_the_options_of_a_run_are_for_files(dataset):
    dataset.shard(samples())
    typed = ["run", str(dataset.root), "--no-extract", "--overwrite"]
    assert "leave --no-extract out" in CliRunner().invoke(command, typed).output
