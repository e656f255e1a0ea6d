"""Captions for a demo, made of phrases, so that hardly any two are the same."""

import itertools
import random
from typing import NamedTuple

_SUBJECTS = (
    "A red fox", "An old lighthouse", "A wooden rowing boat", "A street musician",
    "A robot made of brass", "A stack of clay pots", "A child with a yellow umbrella",
    "A sleeping cat", "A steam locomotive", "A glass greenhouse", "A lone cyclist",
    "A pair of herons", "A small bakery", "A knight in dented armour", "A paper lantern",
    "A bowl of ripe cherries", "A waiter of the Café Zoë", "A lantern painted with 夜市",
    "A market stall in São Paulo", "A birthday cake with a 🦊 on top",
)  # fmt: skip

_DOINGS = (
    "seen from behind", "framed by tall grass", "half hidden in the mist", "in sharp focus",
    "drawn with a few bold lines", "reflected in a puddle", "surrounded by fireflies",
    "casting a long shadow", "painted in thick strokes", "covered with fresh snow",
    "at the edge of the picture", "small against the sky",
)  # fmt: skip

_PLACES = (
    "beside a frozen lake", "in a narrow cobbled street", "at the foot of a snowy mountain",
    "on an empty beach", "in a crowded railway station", "under a blossoming cherry tree",
    "in the middle of a wheat field", "on the roof of a tall building", "in a quiet library",
    "by an open window", "in a garden full of roses", "on a bridge over a wide river",
    "at the end of a wooden pier", "in a workshop cluttered with tools",
)  # fmt: skip

_LIGHTS = (
    "in the first light of morning", "at noon, without a cloud", "lit by a single candle",
    "under a pale full moon", "in the blue hour after sunset", "on a grey and rainy day",
    "in warm light from the left", "under strings of coloured bulbs", "in soft, even light",
    "with the sun low behind it", "in the glow of neon signs", "as a storm comes near",
)  # fmt: skip

_STYLES = (
    "Photograph", "Oil painting", "Watercolour sketch", "Isometric illustration",
    "Woodcut print", "Children's book illustration", "Wide-angle photograph", "Film still",
)  # fmt: skip

_THINGS = (
    "The foreground", "The far background", "The sky", "The left side of the image",
    "The surface of the water", "The main subject", "A row of houses further back",
    "The ground", "The clothing", "The texture of the wood", "A thin line of smoke", "The foliage",
)  # fmt: skip

_QUALITIES = (
    "is kept in muted greens and browns, which lets the brighter parts stand out",
    "is rendered in great detail, down to the smallest scratches and stains",
    "is slightly out of focus, so that the eye returns to the centre",
    "shows a gentle transition from deep blue to a pale orange",
    "catches the light and gives the scene a calm and almost dreamlike mood",
    "is crossed by soft shadows that run from the upper right to the lower left",
    "leaves a good deal of empty space, which makes everything else look small",
    "repeats the colours of the rest in a darker and cooler tone",
    "has the grain and the faded contrast of an old print",
    "seems to move, although everything around it is perfectly still",
)

_ENDINGS = ("highly detailed", "soft colours, no text", "muted palette, 35mm", "cosy mood, 4k")

# Joined once: two choices from long pools cost half as much as four from short ones.
_SCENES = [f"{subject} {doing}" for subject, doing in itertools.product(_SUBJECTS, _DOINGS)]

_SETTINGS = [f"{place} {light}" for place, light in itertools.product(_PLACES, _LIGHTS)]

_DETAILS = [f"{thing} {quality}." for thing, quality in itertools.product(_THINGS, _QUALITIES)]

_OPENINGS = [f"{style}, {ending}" for style, ending in itertools.product(_STYLES, _ENDINGS)]


class Captions(NamedTuple):
    """The texts of one sidecar."""

    short: str
    long: str
    short2: str
    long2: str
    prompt: str


def captions(rng: random.Random) -> Captions:
    """Return random texts for one sidecar, about 1.5 KB; the short ones are from 4.8 million."""
    scene, other_scene = rng.choices(_SCENES, k=2)
    setting, other_setting = rng.choices(_SETTINGS, k=2)
    details = rng.choices(_DETAILS, k=8)
    short = f"{scene} {setting}. {details[0]}"
    short2 = f"{other_scene} {other_setting}. {details[1]}"
    return Captions(
        short=short,
        long=f"{short} {' '.join(details[2:5])}",
        short2=short2,
        long2=f"{short2} {' '.join(details[5:])}",
        prompt=f"{rng.choice(_OPENINGS)}: {scene} {setting}",
    )
