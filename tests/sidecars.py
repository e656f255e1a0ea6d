"""Small datasets, written by hand."""

import json
import os

IMAGE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (1024).to_bytes(4) + (768).to_bytes(4) + b"\x08\x02\0\0\0"
)
"""The front of the image of a good record: all that is read of one."""


def record(image_name="a.png", **changes):
    """The fields of a good record, with some of them changed; `...` leaves a field out."""
    fields = {
        "image_name": image_name,
        "width": 1024,
        "height": 768,
        "short_caption": f"What {image_name} shows.",
        "long_caption": "A longer story.",
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def as_bytes(sidecar):
    """A sidecar's bytes: bytes are as they are, anything else becomes its JSON."""
    return sidecar if isinstance(sidecar, bytes) else json.dumps(sidecar).encode()


def write_sidecars(folder, sidecars):
    """Write {path in the folder: bytes or record}, and give the folder's path as text."""
    for path, sidecar in sidecars.items():
        place = os.path.join(os.fsencode(folder), os.fsencode(path))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(as_bytes(sidecar))
    os.makedirs(folder, exist_ok=True)
    return os.fspath(folder)


def numbered(count, start=0, **changes):
    """Good records in the order of their names: {"000.json": record, ...}."""
    return {
        f"{number:03}.json": record(f"{number:03}.png", **changes)
        for number in range(start, start + count)
    }
