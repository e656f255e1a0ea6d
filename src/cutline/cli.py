"""The command line: parse, call, print."""

import signal
from typing import Any, Final

import click
import orjson
from rich.console import Console

from cutline import demo, head, recipe, store
from cutline.captions import CaptionsSummary, caption_source, data_folder, write_captions
from cutline.cli_options import Checked, compile_options, job, one_sentence
from cutline.sources import open_source
from cutline.table import CompileSummary, compile_table

SOURCE: Final = Checked("SOURCE", open_source)
TABLE: Final = Checked("TABLE", store.Outputs.of)
DATA: Final = Checked("DATA", data_folder)
ROOT: Final = Checked("ROOT", recipe.layout)
CAPTION_SOURCE: Final = Checked("SOURCE", caption_source)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cutline")
def cutline() -> None:
    """Turn the JSON sidecars of an image-text dataset into one parquet table and caption files."""


def main() -> None:
    """Run the command line; SIGTERM is a Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cutline()


@cutline.command("compile")
@click.argument("source", type=SOURCE)
@click.argument("table", type=TABLE)
@compile_options
@job
def compile_command(source: str, table: str, **job: Any) -> CompileSummary:
    """Compile the sidecars below SOURCE, a folder or its URL, into one parquet TABLE."""
    return compile_table(source, table, **job)


@cutline.command("captions")
@click.argument("source", type=CAPTION_SOURCE)
@click.argument("data", type=DATA)
@compile_options
@job
def captions_command(source: str, data: str, **job: Any) -> CaptionsSummary:
    """Write one caption text file per image of SOURCE, a table or sidecars, below DATA."""
    return write_captions(source, data, **job)


@cutline.command("run")
@click.argument("root", type=ROOT)
@compile_options
@job
def run_command(root: str, **job: Any) -> recipe.RunSummary:
    """Do the whole recipe on one dataset folder: ROOT/data to table and caption files."""
    return recipe.run(root, **job)


@cutline.command("head")
@click.argument("table")
@click.option("-n", "count", default=10, show_default=True, help="How many rows.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="A table for people, or CSV or JSON for pipes.",
)
def head_command(table: str, count: int, form: str) -> None:
    """Print the first rows of TABLE: a table, a folder of parts or a ledger."""
    with one_sentence():
        rows = head.first_rows(table, count)
    if form == "table":
        Console().print(head.as_table(rows))
    else:
        click.echo(head.as_csv(rows) if form == "csv" else head.as_json(rows), nl=False)


@cutline.command("demo")
@click.argument("folder", metavar="DIR")
@click.option("--loose", is_flag=True, expose_value=False, help="Loose files.")
@click.option("--records", default=1000, show_default=True, help="How many sidecars.")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same bytes.")
@click.option("--no-images", is_flag=True, help="Sidecars only, for large ones.")
def demo_command(folder: str, records: int, seed: int, *, no_images: bool) -> None:
    """Make a small dataset with planted faults in DIR, and print what a run must count."""
    with one_sentence():
        expected = demo.make_demo(folder, demo.DemoOptions(records, seed, images=not no_images))
    click.echo(orjson.dumps(expected, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
