"""The arguments of commands, each checked before a cluster is started for it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click
from click.shell_completion import CompletionItem

from cutline import recipe
from cutline.captions import caption_source
from cutline.cli.endings import one_sentence
from cutline.sources import open_source, shard_names
from cutline.store import TableFiles, disk, parquet


class Checked(click.ParamType[str]):
    """An argument that a function checks, and that is handed on as it was typed."""

    def __init__(self, name: str, check: Callable[[str], object]) -> None:
        self.name = name
        self.check = check

    def convert(self, value: Any, param: Any, ctx: Any) -> str:  # noqa: ARG002 - click's signature
        """Check it."""
        with one_sentence():
            self.check(value)
        return str(value)

    def shell_complete(
        self,
        ctx: Any,  # noqa: ARG002 - click's signature
        param: Any,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Let the shell complete a path."""
        return [CompletionItem(incomplete, type="file")]


def _check_readable(path: str) -> None:
    with parquet.open_parquet(path):
        pass


SOURCE: Final = Checked("SOURCE", open_source)

TABLE: Final = Checked("TABLE", TableFiles.of)

MADE_TABLE: Final = Checked("TABLE", _check_readable)

DATA: Final = Checked("DATA", disk.data_folder)

NEW_DATA: Final = Checked("DATA", disk.new_data_folder)

ROOT: Final = Checked("ROOT", recipe.layout)

SHARDS: Final = Checked("SHARDS", shard_names.open_shards)

CAPTION_SOURCE: Final = Checked("SOURCE", caption_source)


class Orphans(NamedTuple):
    """What to do about images without a row, and the folder that they go to or come from."""

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


ORPHANS: Final = OrphansType()
