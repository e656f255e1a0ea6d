"""The pictures of a demo: a few small landscapes, drawn once and used many times."""

import functools
import hashlib
import io
import itertools
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageOps

# Most of the real images have one of these sizes.
_SIZES = ((1024, 1024), (1792, 1024), (1024, 1792))


class Palette(NamedTuple):
    """The colours of a landscape, and the extension of the file that holds it."""

    sky_above: str
    sky_below: str
    sun: str
    hill: str
    extension: str


_PALETTES = (
    Palette("#20356b", "#f7c59f", "#fff3d6", "#3a4a5c", "jpg"),
    Palette("#7fb7be", "#f2efe2", "#ffffff", "#5b8a72", "jpg"),
    Palette("#2d1e4f", "#d9667b", "#ffd9a0", "#241a38", "jpg"),
    Palette("#a7c7e7", "#fde9d0", "#fff8dc", "#8fae7a", "jpg"),
    Palette("#0b132b", "#3a506b", "#e8f1f2", "#0a1020", "jpeg"),
    Palette("#e8a598", "#fff1e0", "#fffaf0", "#b5656b", "jpeg"),
    Palette("#48639c", "#cfe3f5", "#fffbe6", "#2f4858", "png"),
)


class Picture(NamedTuple):
    """An encoded image, and what its sidecar has about it; sizes in pixels."""

    width: int
    height: int
    extension: str
    content: bytes
    md5_pil: str
    md5_file: str
    sha512: str


@functools.cache
def pictures(extension: str | None) -> tuple[Picture, ...]:
    """Return all pictures, or those with one extension."""
    return tuple(picture for picture in _drawn() if extension in (None, picture.extension))


# Cached: one costs 25 ms, a thousand times as much as the rest of a sample.
@functools.cache
def _drawn() -> tuple[Picture, ...]:
    return tuple(_draw(*size, palette) for size, palette in itertools.product(_SIZES, _PALETTES))


def _draw(width: int, height: int, palette: Palette) -> Picture:
    image = _landscape(width, height, palette)
    content = _encode(image, palette.extension)
    return Picture(
        width,
        height,
        palette.extension,
        content,
        md5_pil=hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest(),
        md5_file=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        sha512=hashlib.sha512(content).hexdigest(),
    )


def _landscape(width: int, height: int, palette: Palette) -> Image.Image:
    gradient = Image.linear_gradient("L").resize((width, height))
    image = ImageOps.colorize(gradient, palette.sky_above, palette.sky_below)
    draw = ImageDraw.Draw(image)
    draw.circle((0.68 * width, 0.42 * height), min(width, height) / 9, fill=palette.sun)
    draw.ellipse((-0.5 * width, 0.72 * height, 1.1 * width, 1.8 * height), fill=palette.hill)
    return image


def _encode(image: Image.Image, extension: str) -> bytes:
    content = io.BytesIO()
    if extension == "png":
        image.save(content, "PNG")
    else:
        # Progressive halves these: 8 to 19 KB a file rather than 19 to 35.
        image.save(content, "JPEG", quality=50, progressive=True)
    return content.getvalue()
