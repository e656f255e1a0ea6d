import io

import fsspec
import pytest
from PIL import Image

from cutline.extract import debris
from cutline.extract.extract_options import ExtractOptions
from cutline.extract.extraction import extract
from cutline.store import space
from jobs_at_work import Listener
from tar_bytes import END, member


def png(size):
    """An image, with something behind its header to be cut off."""
    with io.BytesIO() as file:
        Image.effect_noise((size, size), 50).save(file, "PNG")
        return file.getvalue()


MADE = {
    "a.json": b'{"a": 123} junk',
    "b.png": png(16),
    "c.json": b"null",
    "d.jpg": b"",
    "e.txt": b"A red fox.\n",
    "f.cls": b"17",
}
"""Members: a sidecar with something behind it, an image, no object, nothing, a text, a class."""


@pytest.fixture(params=["", "memory://"], ids=["local", "behind a URL"])
def put(request, tmp_path, monkeypatch):
    """Put a file where a member of a shard goes, extract, and give what was told and is there."""
    monkeypatch.setattr(debris, "PIECE", 40)
    archive = b"".join(member(name.encode(), data) for name, data in MADE.items()) + END
    if request.param:
        fsspec.filesystem("memory").pipe_file("/changed/a.tar", archive)
        shard = "memory://changed/a.tar"
    else:
        (tmp_path / "a.tar").write_bytes(archive)
        shard = f"{tmp_path}/a.tar"
    (tmp_path / "out").mkdir()

    def put(name, content, **options):
        (tmp_path / "out" / name).write_bytes(content)
        listener = Listener()
        summary = extract(shard, tmp_path / "out", ExtractOptions(**options), watcher=listener)
        assert summary.files + summary.skipped == len(MADE)
        return listener.said, (tmp_path / "out" / name).read_bytes()

    return put


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("a.json", b""),
        ("a.json", b'{"a": 12'),
        ("a.json", b"<html>an error page</html>"),
        ("b.png", b""),
        ("b.png", MADE["b.png"][:10]),
        ("b.png", MADE["b.png"][:-1]),
        ("b.png", b"an error page"),
        ("d.jpg", b"an error page"),
        ("e.txt", b""),
        ("f.cls", b"1"),
    ],
)
def test_what_a_tool_left_of_a_file_that_was_stopped_is_replaced(put, name, left):
    assert put(name, left) == ([], MADE[name])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("a.json", b'{"a": 123}'),
        ("a.json", b'{"a": 123, "b": 4} '),
        ("b.png", png(12)),
        ("b.png", MADE["b.png"] + b"with a comment"),
        ("c.json", b"{}"),
        ("d.jpg", png(12)),
        ("f.cls", b"3"),
    ],
)
def test_a_file_that_somebody_has_changed_is_kept_and_told_until_all_are_to_be_replaced(
    put, name, changed
):
    (told,), there = put(name, changed)
    assert told.startswith("1 files in ")
    assert told.endswith(
        f" were edited, such as {name}, and were left as they are: add --overwrite to have what the"
        " shards hold."
    )
    assert there == changed
    assert put(name, changed, overwrite=True) == ([], MADE[name])


@pytest.mark.parametrize("caption", [b"A red fox.", b"A red fox in the snow."])
def test_a_text_of_another_length_is_a_caption_and_stays_without_a_word(put, caption):
    assert put("e.txt", caption) == ([], caption)
    assert put("e.txt", caption, overwrite=True) == ([], MADE["e.txt"])


def test_files_that_are_kept_need_no_room(put, monkeypatch):
    for name in MADE:
        put(name, b"{}" if name.endswith("json") else png(12))
    monkeypatch.setattr(space, "free_room", lambda _: space.Room(0, 0))
    (told,), _ = put("a.json", b"{}")
    assert told.startswith("5 files")
