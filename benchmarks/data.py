"""Sidecars to measure on: clean, about 2 KB each, and one in fifty without a width.

    python data.py FOLDER RECORDS

They are written as Python writes JSON by default, in ASCII. The same numbers give the same bytes,
whoever writes them. No fault is planted: the recipe would
stop at the first. `cutline demo` makes the dataset with faults.
"""

import hashlib
import json
import multiprocessing
import os
import random
import struct
import sys
from typing import Any

PROCESSES = 2
WITHOUT_WIDTH_EVERY = 50
SIZES = [(1024, 1024), (1792, 1024), (1024, 1792)]
EXTENSIONS = ["jpg", "jpg", "jpg", "jpeg", "png"]
TEXT = """
    a the one two several of in on under beside above with without and while against
    café façade naïve jalapeño "quiet" harbour lighthouse fox owl violin train market garden
    window snow storm lantern mountain river copper velvet paper glass wooden golden faded bright
    pale watercolour photograph illustration portrait landscape close-up evening morning winter
    light shadow mist reflection detailed cinematic surreal minimalist standing floating looking
"""
WORDS = TEXT.split()


def words(source: random.Random, count: int) -> str:
    return " ".join(source.choices(WORDS, k=count)).capitalize() + "."


def image_header(width: int, height: int) -> bytes:
    """Return the first 33 bytes of a PNG, which are read for its size."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s2I9x", 13, b"IHDR", width, height)


def sidecar(number: int) -> tuple[str, dict[str, Any]]:
    """Return the stem and the fields of a record; names are hashes, so no order is favoured."""
    source = random.Random(number)
    digest = hashlib.sha512(str(number).encode()).hexdigest()
    stem = digest[:16]
    width, height = source.choice(SIZES)
    long_caption = words(source, 115)
    fields: dict[str, Any] = {
        "image_name": f"{stem}.{source.choice(EXTENSIONS)}",
        "md5_pil_hash": digest[:32],
        "md5_file_hash": digest[32:64],
        "sha512_hash": digest,
        "width": width,
        "height": height,
        "resolution": f"{width}x{height}",
        "url": f"https://images.example/{digest[64:]}/{stem}",
        "source": "dalle3",
        "original_prompt": words(source, 50),
        "short_caption": words(source, 25),
        "short_caption2": [words(source, 20)] if number % 3 else None,
        "long_caption": long_caption,
    }
    if number % WITHOUT_WIDTH_EVERY == 0:
        del fields["width"]
    return stem, fields


def write_slice(folder: str, numbers: range) -> None:
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number in numbers:
        stem, fields = sidecar(number)
        file = os.open(f"{stem}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
        os.write(file, json.dumps(fields).encode())
        os.close(file)


def make(folder: str, records: int) -> None:
    os.makedirs(folder)
    slices = [(folder, range(first, records, PROCESSES)) for first in range(PROCESSES)]
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        pool.starmap(write_slice, slices)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make(sys.argv[1], int(sys.argv[2]))
