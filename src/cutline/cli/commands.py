"""The command line: parse, call, print."""

import functools
import sys
from typing import Any, Final

import click
import orjson
from rich.console import Console

from cutline import recipe
from cutline.captions import CaptionsSummary, caption_source, is_table, write_captions
from cutline.cli.endings import one_sentence, standard_output, tell
from cutline.cli.job_options import Checked, Command, compile_options, extract_options, job
from cutline.cli.verify_options import ORPHANS, PARQUET, Orphans, loader_options, verify_options
from cutline.demo import DemoOptions, Form, make_demo
from cutline.errors import UsageError
from cutline.extract import ExtractSummary, extract
from cutline.record import Rules
from cutline.report import ReportSummary, report_table
from cutline.sources import open_source, shard_names
from cutline.store import TableFiles, disk
from cutline.table import DEFAULTS, CompileOptions, CompileSummary, compile_table, head
from cutline.trainers import FORMATS, LoaderOptions, export, loader, write_loader
from cutline.verify import (
    VerifySummary,
    caption_orphans,
    move_orphans,
    restore_orphans,
    verify_dataset,
)

SOURCE: Final = Checked("SOURCE", open_source)

TABLE: Final = Checked("TABLE", TableFiles.of)

DATA: Final = Checked("DATA", disk.data_folder)

ROOT: Final = Checked("ROOT", recipe.layout)

SHARDS: Final = Checked("SHARDS", shard_names.open_shards)

NEW_DATA: Final = Checked("DATA", disk.new_data_folder)

CAPTION_SOURCE: Final = Checked("SOURCE", caption_source)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cutline")
def cutline() -> None:
    """Turn the JSON sidecars of an image-text dataset into one parquet table and caption files."""
    if sys.getfilesystemencoding() != "utf-8":  # then they would be other names
        sys.exit("cutline: The names of files are not UTF-8 here: set PYTHONUTF8=1.")


@cutline.command("compile")
@click.argument("source", type=SOURCE)
@click.argument("table", type=TABLE)
@compile_options
@job
def compile_command(source: str, table: str, **job: Any) -> CompileSummary:
    """Compile the sidecars of SOURCE into one parquet TABLE.

    SOURCE is a folder of sidecars, or of tar shards, which are read in place; its URL; a shard; or
    a quoted glob of shards. A folder that holds both is one of sidecars.
    """
    return compile_table(source, table, **job)


def for_sidecars(command: Command) -> Command:
    """Refuse the options that say where captions are, for a table that has them already."""

    @functools.wraps(command)
    def run(*, source: str, options: CompileOptions, **arguments: Any) -> Any:
        with one_sentence():
            if is_table(source) and options.rules != DEFAULTS.rules:
                raise UsageError(
                    f"The captions are in the table {source} already: compile it with these"
                    " options, or name the sidecars."
                )
        return command(source=source, options=options, **arguments)

    return run


@cutline.command("captions")
@click.argument("source", type=CAPTION_SOURCE)
@click.argument("data", type=DATA)
@compile_options
@for_sidecars
@job
def captions_command(source: str, data: str, **job: Any) -> CaptionsSummary:
    """Write one caption text file per image of SOURCE, a table or sidecars, below DATA.

    The options of a compile are for sidecars; what is in a table is written as it is.
    """
    return write_captions(source, data, **job)


@cutline.command("run")
@click.argument("root", type=ROOT)
@click.option("--no-extract", is_flag=True, help="Make the table from the shards, and stop there.")
@compile_options
@job
def run_command(root: str, *, no_extract: bool, **job: Any) -> recipe.RunSummary:
    """Do the whole recipe on one dataset folder: shards to files, table and caption files.

    Shards are looked for in ROOT and in ROOT/data, and unpacked into ROOT/data.
    """
    steps = recipe.run_in_place if no_extract else recipe.run
    return steps(root, **job)


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
        with standard_output():
            if form == "table":
                Console().print(head.as_table(rows))
            else:
                click.echo(head.as_csv(rows) if form == "csv" else head.as_json(rows), nl=False)


@cutline.command("demo")
@click.argument("folder", metavar="DIR")
@click.option("--loose", is_flag=True, help="Loose files, not tar shards.")
@click.option("--hostile", is_flag=True, help="A damaged and a hostile shard, too.")
@click.option("--records", default=1000, show_default=True, help="How many sidecars.")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same bytes.")
@click.option("--no-images", is_flag=True, help="Sidecars only, for large ones.")
def demo_command(
    folder: str, records: int, seed: int, *, loose: bool, hostile: bool, no_images: bool
) -> None:
    """Make a small dataset with planted faults in DIR, and print what a run must count."""
    with one_sentence(f"remove {folder}, and run this again"):
        if loose and hostile:
            raise UsageError("Loose files have no shard that is hostile: leave --loose out.")
        form: Form = "loose" if loose else "hostile" if hostile else "shards"
        options = DemoOptions(records, seed, not no_images, form)
        expected = make_demo(folder, options)
        with standard_output():
            click.echo(orjson.dumps(expected, option=orjson.OPT_INDENT_2))


@cutline.command("extract")
@click.argument("shards", type=SHARDS)
@click.argument("data", type=NEW_DATA)
@extract_options
@job
def extract_command(shards: str, data: str, **job: Any) -> ExtractSummary:
    """Unpack SHARDS, a folder or a glob of .tar files or one of them, into the folder DATA."""
    return extract(shards, data, **job)


@cutline.command("verify")
@click.argument("table", type=PARQUET)
@click.argument("data", type=DATA)
@click.option(
    "--orphans", type=ORPHANS, metavar=ORPHANS.name, help="What to do about images without row."
)
@verify_options
@job
def verify_command(
    table: str, data: str, orphans: Orphans | None, rules: Rules, **job: Any
) -> VerifySummary:
    """Check what the trainer will find in TABLE and the folder DATA."""
    if orphans is None:
        return verify_dataset(table, data, **job)
    if orphans.verb == "caption":
        return caption_orphans(table, data, rules, **job)
    act = move_orphans if orphans.verb == "move" else restore_orphans
    return act(table, data, orphans.folder, **job)


@cutline.command("loader")
@click.argument("table")
@click.argument("data", required=False)
@click.option("--out", metavar="FILE", help="The file.  [default: multidatabackend.json beside]")
@loader_options
def loader_command(table: str, data: str | None, out: str | None, **options: Any) -> None:
    """Put the dataset's entry into the trainer's file; DATA is the folder data beside TABLE.

    An entry of the same id is replaced.
    """
    with one_sentence():
        chosen = LoaderOptions(**options)
        path = out or loader.entry_file(table)
        folder = data or loader.beside(table, "data")
        entries = write_loader(table, folder, path, chosen)
    tell(f"The entry {chosen.id} is in {path}")
    for line in loader.same_images(path, entries, chosen.id, folder):
        tell(line)


@cutline.command("export")
@click.argument("table")
@click.argument("data", required=False)
@click.option("--format", "form", required=True, type=click.Choice(list(FORMATS)), help="Whose.")
@click.option("--out", metavar="FILE", help="The file.  [default: a name that the format asks for]")
def export_command(table: str, data: str | None, form: str, out: str | None) -> None:
    """Write TABLE in the format of other trainers; DATA is the folder data beside TABLE."""
    folder = data or loader.beside(table, "data")
    with one_sentence():
        path = out or FORMATS[form].default_name(table, folder)
        rows = export(table, path, form, folder)
    tell(f"Wrote {rows:,} rows to {path}")


@cutline.command("report")
@click.argument("table", type=PARQUET)
@click.argument("data", type=DATA, required=False)
@job
def report_command(table: str, data: str | None, **job: Any) -> ReportSummary:
    """Write X.report.html beside TABLE; with DATA, also of what `cutline verify` finds."""
    return report_table(table, data, **job)
