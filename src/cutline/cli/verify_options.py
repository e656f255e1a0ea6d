"""The options of `cutline verify` and `cutline loader` on the command line."""

import functools
from dataclasses import fields
from typing import Any, Final, NamedTuple

import click

from cutline.cli.job_options import FORCE_UNLOCK, Checked, Command
from cutline.record import Rules
from cutline.store import parquet
from cutline.trainers import LoaderOptions, simpletuner
from cutline.verify import VerifyOptions

LOADER: Final = {field.name: field.default for field in fields(LoaderOptions)}


class Orphans(NamedTuple):
    """What to do about images without row, and the folder that they go to or come from."""

    verb: str
    folder: str = ""


class OrphansType(click.ParamType[Orphans]):
    """The value of ``--orphans``."""

    name = "move=DIR|restore=DIR|caption"

    def convert(self, value: Any, param: Any, ctx: Any) -> Orphans:
        """Split it."""
        verb, _, folder = value.partition("=")
        if not (verb in {"move", "restore"} and folder) and value != "caption":
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return Orphans(verb, folder)


def readable_table(path: str) -> None:
    """Check a TABLE argument that must be there."""
    with parquet.open_parquet(path):
        pass


ORPHANS: Final = OrphansType()

PARQUET: Final = Checked("TABLE", readable_table)


def verify_options(command: Command) -> Command:
    """Give a command the options of a verification, as one value."""

    @click.option(
        "--strategy",
        type=click.Choice(simpletuner.STRATEGIES),
        default=simpletuner.STRATEGIES[0],
        show_default=True,
        help="Where the trainer takes captions from.",
    )
    @click.option("--expect", type=int, metavar="N", help="How many sidecars there should be.")
    @click.option("--check-sizes", is_flag=True, help="Compare sizes with the images' headers.")
    @click.option(
        "--sample", type=click.IntRange(1), metavar="N", help="Compare so many of them, not all."
    )
    @click.option(
        "--caption-field",
        "caption_fields",
        multiple=True,
        default=Rules().caption_fields,
        show_default=True,
        metavar="FIELD",
        help="Where --orphans caption finds captions; repeat it for second choices.",
    )
    @FORCE_UNLOCK
    @functools.wraps(command)
    def run(
        *,
        strategy: str,
        expect: int | None,
        check_sizes: bool,
        sample: int | None,
        caption_fields: tuple[str, ...],
        force_unlock: bool,
        **arguments: Any,
    ) -> Any:
        options = VerifyOptions(strategy, expect, check_sizes, sample, force_unlock)
        return command(options=options, rules=Rules(caption_fields), **arguments)

    return run


def loader_options(command: Command) -> Command:
    """Give a command the options of the trainer's entry, whose defaults are the recipe's."""
    for name, kind, about in reversed(LOADER_OPTIONS):
        option = "--" + name.replace("_", "-")
        default = LOADER[name]
        shown = default is not None
        command = click.option(
            option, name, type=kind, default=default, show_default=shown, help=about
        )(command)
    return command


LOADER_OPTIONS: Final = (
    ("id", str, "The dataset's name."),
    ("strategy", click.Choice(simpletuner.STRATEGIES), "Where the trainer takes captions from."),
    ("resolution", float, "In the unit of --resolution-type, as the next three are."),
    (
        "resolution_type",
        click.Choice(list(simpletuner.LIMITS)),
        "Megapixels, an edge, or a square's edge.",
    ),
    ("minimum_image_size", float, "Smaller images are left out."),
    ("maximum_image_size", float, "Larger images are made smaller first."),
    ("target_downsample_size", float, "The size that they are made."),
    ("cache_dir_vae", str, "The cache of latents."),
    ("cache_dir_text", str, "The cache of text embeddings."),
)
