import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline.errors import CutlineError
from cutline.sources.local_folder import Folder
from cutline.trainers.simpletuner import IMAGES
from cutline.verify import list_folder
from cutline.verify.list_folder import CAPTION, EMPTY, IMAGE, SIDECAR, Listing
from trees import make_unlistable

names = st.sampled_from(
    ["a.jpg", "a.JPG", ".a.png", "a.b.tiff", "a.txt", "a.TXT", "a.json", ".a.json", "a", "a.",
     ".png", "b.json", "b.gif", "b.xyz", "ä b.webp", "c.txt", "é.json", "a.jpg.json", "a.json.jpg"]
)  # fmt: skip
folders = st.sampled_from(["", "sub/", "sub/deep/", ".hidden/", "f.png/", "sub/.cutline/", "x y/"])


def by_walking(root):
    """As plainly as it can be said."""
    found = set()
    for folder, below, files in os.walk(root):
        path = os.path.relpath(folder, root)
        if path == ".cutline":
            below.clear()
            continue
        hidden = path != "." and any(step.startswith(".") for step in path.split("/"))
        for name in files:
            stem, _, extension = name.rpartition(".")
            kind = {"txt": CAPTION, "json": SIDECAR}.get(extension)
            if extension.lower().encode() in IMAGES:
                kind = IMAGE if os.path.getsize(f"{folder}/{name}") else EMPTY
            if not stem or kind is None or (kind == SIDECAR and (hidden or name.startswith("."))):
                continue
            found.add((kind, os.path.normpath(f"{path}/{name}").encode()))
    return found


@given(st.sets(st.builds("{}{}".format, folders, names), max_size=25))
def test_a_listing_is_what_walking_finds(tmp_path_factory, paths):
    root = tmp_path_factory.mktemp("data")
    for path in [*paths, ".cutline/attempt.png"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * (len(path) % 2))
    found = [(kind, stem + extension) for kind, stem, extension in Listing(str(root)).files()]
    assert len(found) == len(set(found))
    assert set(found) == by_walking(root)
    sidecars = {path for kind, path in found if kind == SIDECAR}
    assert sidecars == set(Folder(str(root)).list()["path"].to_pylist())


def test_what_is_held_of_a_folder_may_be_less_than_all(tmp_path, monkeypatch):
    for number in range(30):
        for extension in ("png", "json", "txt"):
            (tmp_path / f"{number}.{extension}").write_bytes(b"x" * (number % 2))
    whole = set(Listing(str(tmp_path)).files())
    monkeypatch.setattr(list_folder, "HELD", 7)
    found = list(Listing(str(tmp_path)).files())
    assert len(found) == 90
    assert set(found) == whole


def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_listed(tmp_path):
    make_unlistable(tmp_path)
    (tmp_path / "a.png").touch()
    listing = Listing(str(tmp_path))
    assert [stem for _, stem, _ in listing.files()] == [b"a"]
    (example,) = listing.unlisted.examples
    assert example.endswith("x: File name too long")


def test_the_folder_itself_must_be_listed(tmp_path):
    with pytest.raises(CutlineError, match=r"/gone/? cannot be listed: No such file .*\. Make it"):
        list(Listing(f"{tmp_path}/gone").files())


def test_a_pipe_and_links_that_lead_nowhere_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "itself.png").symlink_to("itself.png")
    listing = Listing(str(tmp_path))
    assert list(listing.files()) == []
    assert (listing.linked.count, listing.linked.examples) == (1, ("loop",))


@pytest.mark.parametrize("extension", sorted(IMAGES))
def test_every_extension_is_one_that_pillow_opens(extension):
    from PIL import Image  # noqa: PLC0415 - the trainer's own list is Pillow's

    assert Image.registered_extensions()["." + extension.decode()] in Image.OPEN
