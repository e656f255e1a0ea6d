"""What must be in a dataset after each command, said as plainly as it can be.

A `Dataset` holds no more than what somebody could write down who watched it: the shards that are
there, each file with who wrote it last, what was moved away, which versions of shards were
unpacked, and the rows of the table. Of cutline nothing is imported here; what a row is says
`oracle`.
"""

import io
import json
import os
import tempfile
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from PIL import Image

from oracle import compile_folder
from sidecars import write_sidecars
from tar_bytes import as_tarfile_lists, by_tarfile

ROOM = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where small files cost little."""

SHORT_OF_AN_END = 80_000
"""Zeros at the end of an unfinished shard; up to 64 KiB are the padding of a whole one."""


@cache
def picture(width, height):
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def is_debris(path, file):
    """Whether a file is a broken one that an extraction makes anew, of any but a caption file.

    So is a torn sidecar or what is no image of a shard, even if a user has touched it.
    """
    torn = path.endswith(".json") and not is_json(file.data)
    no_image = path.endswith(".png") and size_of(file.data) is None
    return (file.by == "nobody" and not path.endswith(".txt")) or torn or no_image


def is_json(data):
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def size_of(image):
    """Width and height of an image, or None if it is none."""
    try:
        return Image.open(io.BytesIO(image)).size
    except OSError:
        return None


class Hole(NamedTuple):
    """Bytes of a shard that have not come yet; without an end, the shard stops there."""

    start: int
    stop: int | None
    zeros: bool = True


@dataclass
class Shard:
    """Members as (path, bytes), and what is not there of them; each writing is a new version."""

    members: list
    version: int
    hole: Hole | None = None

    def archive(self):
        whole = by_tarfile(self.members)
        if self.hole is None:
            return whole
        start, stop, zeros = self.hole
        if stop is not None:
            return whole[:start] + bytes(stop - start) + whole[stop:]
        return whole[:start] + bytes(SHORT_OF_AN_END if zeros else 0)

    def places(self):
        """Where each member begins with its header, and where its data end."""
        listed = as_tarfile_lists(by_tarfile(self.members))
        return [(offset - 512, offset + size) for _, offset, size, _ in listed]

    def seen(self):
        """The members that are whole: what has come of them is what they are."""
        whole, come = by_tarfile(self.members), self.archive()
        return [
            member
            for member, (begin, end) in zip(self.members, self.places(), strict=True)
            if come[begin:end] == whole[begin:end]
        ]


class File(NamedTuple):
    """What a file holds, and who wrote it last: a user, an extraction, or `captions`.

    `version` is that of the shard that an extraction has it from.
    """

    data: bytes
    by: str
    version: int | None = None


@dataclass
class Dataset:
    shards: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    away: dict = field(default_factory=dict)
    unpacked: set = field(default_factory=set)
    rows: list | None = None

    def copy(self):
        return deepcopy(self)

    # Shards

    def shown_shards(self):
        """The shards in source order, by their paths below the folder that they have in common."""
        within = all(name.startswith("data/") for name in self.shards)
        shown = {name.removeprefix("data/") if within else name: name for name in self.shards}
        return [(name, self.shards[shown[name]]) for name in sorted(shown)]

    def winners(self):
        """Which member becomes the file of a path: {path: (bytes, version of its shard)}."""
        found = {}
        for _, shard in self.shown_shards():
            for path, data in shard.seen():
                found.setdefault(path, (data, shard.version))
        return found

    def extract(self, overwrite=False):
        """Unpack: what a user has touched stays, and what was moved away stays away."""
        self.unpacked |= {shard.version for shard in self.shards.values()}
        for path, (data, version) in self.winners().items():
            if version in self.away.get(path, ()):
                continue
            there = self.files.get(path)
            if there is None or there.by == "shard" or overwrite or is_debris(path, there):
                self.files[path] = File(data, "shard", version)

    def moved(self, path):
        """Forget a file that was moved away: no version that ever was moved comes again."""
        file = self.files.pop(path)
        versions = {file.version} if file.by == "shard" else self.unpacked
        self.away[path] = self.away.get(path, set()) | versions
        return file

    def restore(self, files):
        """Put files back where no others are, and return those whose place is taken."""
        taken = {path: file for path, file in files.items() if path in self.files}
        self.files.update(files.items() - taken.items())
        for path in files:
            self.away.pop(path, None)
        return taken

    def lost(self):
        """The lines of the ledger about sidecars whose place an earlier shard has."""
        taken, lines = set(), []
        for name, shard in self.shown_shards():
            for path, _ in shard.seen():
                if path in taken and path.endswith(".json"):
                    lines.append((f"{name}/{path}", "duplicate", None))
                taken.add(path)
        return lines

    def damaged(self):
        return {name for name, shard in self.shown_shards() if shard.hole}

    # Captions

    def captions(self, overwrite=False):
        """Write caption files; return how many stay that a user has written."""
        edited = 0
        for _, _, caption, filename in self.rows:
            path = os.path.splitext(filename)[0] + ".txt"
            there = self.files.get(path)
            if there and there.data == caption.encode():
                continue
            if there and there.by == "user" and not overwrite:
                edited += 1
            else:
                self.files[path] = File(caption.encode(), "captions")
        return edited

    def caption_orphans(self, rejects):
        """Write the caption files of images that lack nothing but a width in their record."""
        for path in self.orphans():
            stem = os.path.splitext(path)[0]
            sidecar = self.files.get(f"{stem}.json")
            if (
                sidecar
                and f"{stem}.txt" not in self.files
                and reason_of(path, rejects) == "no_width"
            ):
                with suppress(ValueError):
                    caption = json.loads(sidecar.data)["short_caption"]
                    self.files[f"{stem}.txt"] = File(caption.encode(), "captions")

    # What a trainer finds

    def images(self):
        return {path for path in self.files if path.endswith(".png")}

    def orphans(self):
        """Images without row."""
        return self.images() - {filename for *_, filename in self.rows}

    def unusable(self):
        """Images of rows that are none: empty, or something else."""
        there = {filename for *_, filename in self.rows} & self.images()
        return {path for path in there if size_of(self.files[path].data) is None}

    def movable(self):
        """Those of them that are moved with orphans: all, unless most have to come anew."""
        unusable = self.unusable()
        gone = sum(filename not in self.files for *_, filename in self.rows)
        return set() if 2 * (len(unusable) + gone) > len(self.rows) else unusable

    def missing(self, rejects):
        """What keeps a run from being complete, one line each."""
        for name in self.damaged():
            yield f"{name} is damaged"
        if not self.rows:
            yield "no row"
        for width, height, _, filename in self.rows:
            if filename not in self.files:
                yield f"{filename} has a row and is not there"
            elif filename in self.unusable():
                yield f"{filename} is no image"
            elif size_of(self.files[filename].data) != (width, height):
                yield f"{filename} is no image of {width}x{height}"
        for path in self.images():
            caption = self.files.get(os.path.splitext(path)[0] + ".txt")
            if caption is None or not caption.data.strip():
                yield f"{path} has no caption file"
            elif path in self.orphans() and reason_of(path, rejects) != "no_width":
                yield f"{path} has no row"

    def is_elsewhere(self):
        """Whether most rows have no image, so that to move orphans would empty the folder."""
        gone = sum(filename not in self.files for *_, filename in self.rows)
        return bool(self.images()) and (2 * gone > len(self.rows) or not self.rows)


def reason_of(path, rejects):
    """Why an image has no row, by the first line of the ledger about it."""
    of_image = [reason for _, reason, filename in rejects if filename == path]
    stem = os.path.splitext(path)[0]
    of_stem = [
        reason
        for source, reason, filename in rejects
        if filename is None and os.path.splitext(source.rpartition(".tar/")[2])[0] == stem
    ]
    return next(iter(of_image + of_stem), None)


def compiled(files):
    """What a compile of files gives: rows, and lines of the ledger."""
    with tempfile.TemporaryDirectory(dir=ROOM) as folder:
        sidecars = {path: file.data for path, file in files.items() if path.endswith(".json")}
        return compile_folder(write_sidecars(folder, sidecars))
