"""The samples of a demo, one after another; the same options give the same samples."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from cutline.demo.faults import Fields, Plant, plan
from cutline.demo.phrases import captions
from cutline.demo.pictures import Picture, pictures
from cutline.errors import UsageError, check_fields
from cutline.record import reasons

Form = Literal["loose", "shards", "hostile"]

_FEWEST, _MOST = 100, 2_000_000


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Which demo to make.

    Attributes
    ----------
    records
        How many sidecars, 100 to 2,000,000.
    seed
        The same seed gives the same bytes.
    images
        Whether to write the images; the sidecars are the same with and without.
    form
        Loose files, tar shards, or shards with one that is damaged and one that is hostile.
    """

    records: int = 1000
    seed: int = 0
    images: Annotated[bool, Meta(description="Make sidecars only, for large ones.")] = True
    form: Form = "loose"

    def __post_init__(self) -> None:
        check_fields(self)
        if not _FEWEST <= self.records <= _MOST:
            raise UsageError(
                f"A demo has {_FEWEST:,} to {_MOST:,} records, not {self.records:,}: "
                "ask for a number between these."
            )


class Sample(NamedTuple):
    """A sidecar and the image beside it.

    Attributes
    ----------
    stem
        The sidecar's name without `.json`.
    sidecar
        The sidecar's bytes; None if a folder stands where it should be.
    image_name
        The image's file name.
    image
        The image's bytes; None if it is missing.
    reason
        Why a correct run rejects the sidecar; None if it gives a row, whose filename is
        `image_name`.
    """

    stem: str
    sidecar: bytes | None
    image_name: str
    image: bytes | None
    reason: reasons.Reason | None


def samples(options: DemoOptions) -> Iterator[Sample]:
    """Yield the samples of a demo in the order of their sidecars' names."""
    rng = random.Random(options.seed)  # noqa: S311 - repeatable, not secret
    planned = plan(options.records)
    ordinary = Plant()
    for number in range(options.records):
        plant = planned.get(number, ordinary)
        picture = rng.choice(pictures(plant.extension))
        stem = plant.stem.format(number=number)
        image_stem = plant.image_stem.format(stem=stem, next=number + 1)
        image_name = f"{image_stem}.{picture.extension}"
        sidecar = plant.write(_fields(image_name, picture, rng))
        has_image = options.images and plant.has_image
        yield Sample(
            stem, sidecar, image_name, picture.content if has_image else None, plant.reason
        )


def _fields(image_name: str, picture: Picture, rng: random.Random) -> Fields:
    texts = captions(rng)
    fields: Fields = {
        "image_name": image_name,
        "md5_pil_hash": picture.md5_pil,
        "md5_file_hash": picture.md5_file,
        "sha512_hash": picture.sha512,
        "short_caption": texts.short,
        "long_caption": texts.long,
        "resolution": f"{picture.width}x{picture.height}",
        "url": f"https://images.example.org/{image_name}",
        "source": "example.org",
        "original_prompt": texts.prompt,
        "width": picture.width,
        "height": picture.height,
    }
    kind = rng.random()
    if kind < 0.7:
        fields |= {"short_caption2": texts.short2, "long_caption2": texts.long2}
    elif kind < 0.9:
        fields |= {"short_caption2": [texts.short2, texts.prompt], "long_caption2": [texts.long2]}
    elif kind < 0.95:
        fields |= {"short_caption2": None, "long_caption2": None}
    return fields  # the other 5 % have no second captions
