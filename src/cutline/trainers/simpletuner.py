"""What SimpleTuner accepts in a dataloader entry, and into which bucket it puts an image.

The limits are those of SimpleTuner 4.10. It checks them at the start of a training, and some only
after hours of scanning; each one here names the place in its ``simpletuner/helpers``.
"""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta

from cutline.errors import UsageError, check_fields

IMAGES: Final = frozenset(
    b"jpg jpeg png webp bmp gif tif tiff jfif jpe avif jp2".split()  # as Pillow opens them
)

Strategy = Literal["textfile", "parquet", "webshart"]

ResolutionType = Literal["area", "pixel", "pixel_area"]

ALIGNMENT: Final = 64
"""Pixels that the edges of what is trained on are multiples of: its ``aspect_bucket_alignment``."""


# The trainer names files by the id, and configuration/template_vars.py looks for braces.
UNSAFE_IN_ID: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\{}]")


MEGAPIXEL: Final = 1_000_000


class Limits(NamedTuple):
    """The bounds of the sizes under one `resolution_type`.

    `lowest` is that of maximum_image_size and target_downsample_size; these two and resolution are
    below `below`; `minimum` is the highest minimum_image_size.
    """

    unit: str
    lowest: float
    below: float
    minimum: float


# 20 and 512: data_backend/config/validators.py, validate_image_size_constraints.
# 5: metadata/backends/base.py, meets_resolution_requirements.
# pixel_area: data_backend/factory.py squares each value into megapixels, but
# data_backend/config/image.py takes a value up to 10 as megapixels already.
LIMITS: Final[dict[ResolutionType, Limits]] = {
    "area": Limits("megapixels", 0, 20, 5),
    "pixel": Limits("pixels", 512, math.inf, math.inf),
    "pixel_area": Limits("pixels", 11, math.sqrt(20e6), math.sqrt(5e6)),
}


@dataclass(frozen=True, slots=True)
class LoaderOptions:
    """What can be set in the entry; the defaults are the recipe's.

    Attributes
    ----------
    id
        The dataset's name, by which the trainer keeps its state and names its caches; by default
        that of the table.
    strategy
        Where the trainer takes captions from: ``textfile`` or ``parquet``; with ``webshart``, the
        images too, from the shards.
    resolution
        The size to train at, in the unit of `resolution_type`, as the other sizes are.
    resolution_type
        Megapixels for ``area``; for ``pixel_area`` the edge, in pixels, of a square of that area;
        for ``pixel`` the shorter edge in pixels.
    minimum_image_size
        Smaller images are left out; 0 leaves this out of the entry.
    maximum_image_size
        Larger images are made smaller first; 0 leaves this out of the entry.
    target_downsample_size
        The size that larger images are made; 0 leaves this out of the entry.
    cache_dir_vae
        The folder of latents; by default ``cache/vae/ID`` beside the data.
    cache_dir_text
        The folder of text embeddings; by default ``cache/text/ID`` beside the data. It only counts
        when the file has no ``text_embeds`` entry yet.

    Raises
    ------
    UsageError
        The trainer would refuse them, or take them and not do what they say.
    """

    id: Annotated[str | None, Meta(extra={"metavar": "NAME"})] = None
    strategy: Strategy = "textfile"
    resolution: float = 1.0
    resolution_type: ResolutionType = "area"
    minimum_image_size: float = 0.75
    maximum_image_size: float = 2.0
    target_downsample_size: float = 1.75
    cache_dir_vae: Annotated[str | None, Meta(extra={"metavar": "DIR"})] = None
    cache_dir_text: Annotated[str | None, Meta(extra={"metavar": "DIR"})] = None

    def __post_init__(self) -> None:
        """Raise at once what the trainer would refuse hours later."""
        check_fields(self)
        for fault in _faults(self):
            raise UsageError(fault)

    def name_for(self, table: str) -> str:
        """Return the name of the dataset of a table."""
        return self.id or os.path.basename(os.path.abspath(table)).removesuffix(".parquet")


def _faults(options: LoaderOptions) -> Iterator[str]:
    if options.id in {"", ".", ".."} or UNSAFE_IN_ID.search(options.id or ""):
        yield f"The id {options.id!r} cannot name a file: use letters, digits, '-' and '_'."
    yield from _unit_faults(options, LIMITS[options.resolution_type])
    yield from _order_faults(options)


def _unit_faults(options: LoaderOptions, limits: Limits) -> Iterator[str]:
    # A size out of bounds is mostly one in the wrong unit.
    kind = f"with resolution_type {options.resolution_type}"
    large = {
        "maximum_image_size": options.maximum_image_size,
        "target_downsample_size": options.target_downsample_size,
    }
    if not 0 < options.resolution < limits.below:
        yield f"resolution is above 0 and below {limits.below:g} {limits.unit} {kind}."
    elif options.resolution_type == "pixel_area" and options.resolution % 1:
        # data_backend/factory.py, _handle_resolution_conversion
        yield f"resolution is a whole number of pixels {kind}, not {options.resolution:g}."
    for name, size in large.items():
        if size and not limits.lowest <= size < limits.below:
            bounds = f"from {limits.lowest:g} to below {limits.below:g} {limits.unit}"
            yield f"{name} is {bounds} {kind}, not {size:g}."
    minimum = options.minimum_image_size
    if not (0 <= minimum <= limits.minimum and math.isfinite(minimum)):
        yield f"minimum_image_size is from 0 to {limits.minimum:g} {limits.unit} {kind}."


def _order_faults(options: LoaderOptions) -> Iterator[str]:
    maximum, target = options.maximum_image_size, options.target_downsample_size
    if maximum and not target:
        yield "maximum_image_size needs target_downsample_size, the size of what is larger."
    # The trainer takes these two, and then does not do what they say.
    if maximum and options.minimum_image_size > maximum:
        yield f"minimum_image_size is above maximum_image_size, {maximum:g}: no image is between."
    if maximum and target > maximum:
        yield f"target_downsample_size is above maximum_image_size, {maximum:g}: make it smaller."


def aspect_bucket(width: int, height: int) -> float:
    """Return the aspect ratio of the bucket that the trainer puts an image into.

    Computed as in `calculate_new_size_by_pixel_area` of its ``multiaspect/image.py`` with its
    defaults, an alignment of 64 and a rounding to 2 digits: from the ratio of the image, that of
    the aligned size that it is cropped to.

    Parameters
    ----------
    width, height
        Of the image, in pixels.

    Examples
    --------
    >>> aspect_bucket(1792, 1024)
    1.75
    >>> aspect_bucket(1000, 1024)
    1.0
    """
    ratio = round(width / height, 2)
    if ratio in {0.0, 1.0}:  # the trainer divides by a ratio of 0, and drops the image
        return ratio
    edge = _aligned(1000)  # of a square of a megapixel
    return round(_aligned(edge * math.sqrt(ratio)) / _aligned(edge / math.sqrt(ratio)), 2)


def _aligned(pixels: float) -> int:
    return max(round(pixels / ALIGNMENT) * ALIGNMENT, ALIGNMENT)


DEFAULTS: Final = LoaderOptions()
