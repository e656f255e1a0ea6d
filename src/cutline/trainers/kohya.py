"""The metadata file of kohya's sd-scripts: one JSON object of all images.

The format is that of its ``docs/dataset_metadata.md`` and ``library/finetuning_dataset.py``.
"""

import os
from typing import BinaryIO, Final

import orjson

from cutline.errors import UsageError
from cutline.trainers.formats import Export, Format, Rows, is_within, samples


def _check(asked: Export) -> None:
    folder, name = os.path.split(asked.out)
    if is_within(folder, asked.data):
        raise UsageError(f"{name} would pass for a sidecar in {asked.data}: write it elsewhere.")


def _write(batches: Rows, asked: Export, target: BinaryIO) -> None:
    target.write(b"{")
    separator = b"\n"
    for path, caption, size in samples(batches, asked):
        # Not train_resolution, which older versions read too: that is the bucket's size, and with
        # the image's own size in it they would make a bucket of each size.
        about = {"caption": caption, "image_size": size}
        target.write(separator + orjson.dumps(path) + b": " + orjson.dumps(about))
        separator = b",\n"
    target.write(b"\n}\n")


KOHYA: Final = Format(".json", _write, _check)
