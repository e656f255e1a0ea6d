"""Which files of a folder are looked at to tell it from another of the same path."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from random import SystemRandom
from typing import Final

from cutline.errors import CutlineError
from cutline.sources import local_folder, passing_over

LISTED: Final = 1024
"""Files of a folder that some are chosen from, and how many names may be those of folders."""


def some_files(root: str, count: int, *, sidecars: bool = False) -> list[str]:
    """Return the paths of some files among the first that a folder lists, by their names alone.

    Parameters
    ----------
    root
        The folder.
    count
        How many.
    sidecars
        Whether only sidecars are asked for.
    """
    is_wanted = passing_over.is_sidecar_name if sidecars else passing_over.is_file_name
    files = islice(_likely_files(os.fsencode(root), is_wanted), LISTED)
    return some_of([os.fsdecode(path) for path in files], count)


def some_of(names: Sequence[str], count: int) -> list[str]:
    """Return some of the names, others each time."""
    return SystemRandom().sample(names, min(count, len(names)))


def _likely_files(root: bytes, is_wanted: Callable[[bytes], bool]) -> Iterator[bytes]:
    prefixes = [b""]
    while prefixes:
        prefix = prefixes.pop()
        with suppress(CutlineError), local_folder.scanned(root, prefix, lambda _: None) as entries:
            others = list[os.DirEntry[bytes]]()
            for entry in entries:
                if is_wanted(entry.name):
                    yield os.path.join(root, prefix, entry.name)
                elif len(others) < LISTED and not _is_passed_over(entry.name):
                    others.append(entry)
            prefixes += [
                prefix + entry.name + b"/"
                for entry in local_folder.with_kinds(others)
                if local_folder.answer(partial(entry.is_dir, follow_symlinks=False))
            ]


def _is_passed_over(name: bytes) -> bool:
    return name.startswith(b".") or passing_over.is_file_name(name)
