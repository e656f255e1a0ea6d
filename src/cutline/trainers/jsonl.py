"""The ``jsonl`` format of sd-scripts and musubi-tuner (its ``dataset/datasources.py``)."""

from typing import BinaryIO, Final

import orjson

from cutline.trainers.formats import Export, Format, Rows, samples


def _write(batches: Rows, asked: Export, target: BinaryIO) -> None:
    for path, caption, size in samples(batches, asked):
        sample = {"image_path": path, "caption": caption, "image_size": size}
        target.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))


JSONL: Final = Format(".jsonl", _write)
