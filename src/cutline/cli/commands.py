"""The command line: parse, call, print."""

import os
import shlex
import sys
from dataclasses import replace
from functools import partial

import click
import orjson
from rich.console import Console

from cutline import recipe
from cutline.captions import is_table, write_captions
from cutline.cli.arguments import (
    CAPTION_SOURCE,
    DATA,
    MADE_TABLE,
    NEW_DATA,
    ORPHANS,
    ROOT,
    SHARDS,
    SOURCE,
    TABLE,
    Orphans,
)
from cutline.cli.endings import one_sentence, standard_output, tell
from cutline.cli.examples import IN_SHORT, add_examples
from cutline.cli.generated import InSections, taking
from cutline.cli.jobs import CostOptions, JobOptions, run_job, tell_cost
from cutline.demo import DemoOptions, Form, make_demo
from cutline.errors import UsageError
from cutline.extract import ExtractOptions, extract
from cutline.progress import show_progress
from cutline.recipe import costs
from cutline.record import Rules
from cutline.report import report_table
from cutline.table import DEFAULTS, CompileOptions, compile_table, head
from cutline.trainers import FORMATS, LoaderOptions, export, loader, write_loader
from cutline.verify import (
    VerifyOptions,
    caption_orphans,
    move_orphans,
    restore_orphans,
    verify_dataset,
)


class InOrder(click.Group):
    """The commands in the order of their use, and not of the alphabet."""

    command_class = InSections

    def list_commands(self, _: click.Context) -> list[str]:
        """Return their names."""
        return list(IN_SHORT)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cutline")
def cutline() -> None:
    """Turn the JSON sidecars of an image-text dataset into one parquet table and caption files."""
    if sys.getfilesystemencoding() != "utf-8":  # the names in the table would be wrong
        sys.exit("cutline: The names of files are not UTF-8 here: set PYTHONUTF8=1.")


@cutline.command("compile")
@click.argument("source", type=SOURCE)
@click.argument("table", type=TABLE)
@taking(options=CompileOptions, cost=CostOptions, job=JobOptions)
def compile_command(
    source: str, table: str, options: CompileOptions, cost: CostOptions, job: JobOptions
) -> None:
    """Compile the sidecars of SOURCE into one parquet TABLE.

    SOURCE is a folder of sidecars, or of tar shards, which are read in place; its URL; a shard; or
    a quoted glob of shards. A folder that holds both is one of sidecars.
    """
    if cost.dry_run:
        tell_cost(job, costs.of_compile, source, table, options)
    else:
        run_job(job, compile_table, source, table, options)


@cutline.command("captions")
@click.argument("source", type=CAPTION_SOURCE)
@click.argument("data", type=DATA)
@click.option("--overwrite", is_flag=True, help="Replace also what somebody made or edited.")
@taking(options=CompileOptions, cost=CostOptions, job=JobOptions)
def captions_command(
    source: str,
    data: str,
    *,
    overwrite: bool,
    options: CompileOptions,
    cost: CostOptions,
    job: JobOptions,
) -> None:
    """Write one caption text file per image of SOURCE, a table or sidecars, below DATA.

    The options of a compile are for sidecars; what is in a table is written as it is.
    """
    with one_sentence():
        what = options.rules, options.selection
        if is_table(source) and what != (DEFAULTS.rules, DEFAULTS.selection):
            raise UsageError(
                f"The captions are in the table {source} already: compile it with these options,"
                " or name the sidecars."
            )
    if cost.dry_run:
        tell_cost(job, costs.of_captions, source, data, options)
    else:
        run_job(job, partial(write_captions, overwrite=overwrite), source, data, options)


@cutline.command("run")
@click.argument("root", type=ROOT)
@taking(
    options=CompileOptions,
    chosen=recipe.RunOptions,
    cost=CostOptions,
    job=JobOptions,
    without={"only"},
)
def run_command(
    root: str,
    options: CompileOptions,
    chosen: recipe.RunOptions,
    cost: CostOptions,
    job: JobOptions,
) -> None:
    """Do everything for one dataset folder: unpack shards, make the table and the caption files.

    Shards are looked for in ROOT and in ROOT/data, and unpacked into ROOT/data.
    """
    if cost.dry_run:
        tell_cost(job, costs.of_run, root, options, chosen)
    else:
        run_job(job, recipe.run, root, options, chosen)


@cutline.command("head")
@click.argument("table", type=click.Path())
@click.option("-n", "count", default=10, show_default=True, help="How many rows.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="A table to read, or CSV or JSON for other programs.",
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
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--loose", is_flag=True, help="Make loose files, not tar shards.")
@click.option("--hostile", is_flag=True, help="Add a damaged and a hostile shard.")
@click.option("--json", "as_json", is_flag=True, help="Print what a run must count, as JSON.")
@taking(options=DemoOptions, without={"form"})
def demo_command(
    folder: str, *, loose: bool, hostile: bool, as_json: bool, options: DemoOptions
) -> None:
    """Make a small dataset with planted faults in DIR, and say what a run must count."""
    with one_sentence(f"remove {folder}, and run this again"):
        if loose and hostile:
            raise UsageError("Loose files have no shard that is hostile: leave --loose out.")
        form: Form = "loose" if loose else "hostile" if hostile else "shards"
        expected = make_demo(folder, replace(options, form=form))
        if as_json:
            with standard_output():
                click.echo(orjson.dumps(expected, option=orjson.OPT_INDENT_2))
    counted = os.path.join(folder, "expected.json")
    tell(
        f"Made {expected.sidecars:,} sidecars and {expected.images:,} images in {folder}. A run"
        f" must count {expected.rows:,} rows; {counted} has the rest."
    )
    tell(f"Now prepare it: {shlex.join(['cutline', 'run', folder])}")


@cutline.command("extract")
@click.argument("shards", type=SHARDS)
@click.argument("data", type=NEW_DATA)
@taking(options=ExtractOptions, cost=CostOptions, job=JobOptions)
def extract_command(
    shards: str, data: str, options: ExtractOptions, cost: CostOptions, job: JobOptions
) -> None:
    """Unpack SHARDS, a folder or a glob of .tar files or one of them, into the folder DATA."""
    if cost.dry_run:
        tell_cost(job, costs.of_extract, shards, data, options)
    else:
        run_job(job, extract, shards, data, options)


@cutline.command("verify")
@click.argument("table", type=MADE_TABLE)
@click.argument("data", type=DATA)
@click.option(
    "--orphans", type=ORPHANS, metavar=ORPHANS.name, help="What to do about images without a row."
)
@taking(options=VerifyOptions, rules=Rules, job=JobOptions, without={"columns", "raw_captions"})
def verify_command(
    table: str,
    data: str,
    orphans: Orphans | None,
    options: VerifyOptions,
    rules: Rules,
    job: JobOptions,
) -> None:
    """Check what the trainer will find in TABLE and the folder DATA.

    With the strategy webshart DATA is the folder of the shards that TABLE was compiled from. The
    caption fields are where `--orphans caption` looks for captions.
    """
    if orphans is None:
        run_job(job, verify_dataset, table, data, options)
    elif orphans.verb == "caption":
        run_job(job, caption_orphans, table, data, rules, options)
    else:
        act = move_orphans if orphans.verb == "move" else restore_orphans
        run_job(job, act, table, data, orphans.folder, options)


@cutline.command("loader")
@click.argument("table", type=click.Path())
@click.argument("data", type=click.Path(), required=False)
@click.option(
    "--out",
    type=click.Path(),
    metavar="FILE",
    help="The file.  [default: multidatabackend.json beside TABLE]",
)
@taking(options=LoaderOptions)
def loader_command(table: str, data: str | None, out: str | None, options: LoaderOptions) -> None:
    """Write the dataset's entry into the trainer's file; an entry of the same id is replaced.

    DATA is by default the folder data beside TABLE; for webshart, the folder of its shards.
    """
    with one_sentence():
        path, name = out or loader.entry_file(table), options.name_for(table)
        folder = data or loader.folder_of(table, options)
        entries = write_loader(table, folder, path, options)
        lines = loader.same_images(path, entries, name, folder) + loader.about_caches(path, table)
        lines += loader.about_sizes(path, entries, name, table)
    tell(f"The entry {name} is in {path}")
    for line in lines:
        tell(line)


@cutline.command("export")
@click.argument("table", type=click.Path())
@click.argument("data", type=click.Path(), required=False)
@click.option(
    "--format", "form", required=True, type=click.Choice(list(FORMATS)), help="The format."
)
@click.option(
    "--out",
    type=click.Path(),
    metavar="FILE",
    help="The file.  [default: a name that the format asks for]",
)
def export_command(table: str, data: str | None, form: str, out: str | None) -> None:
    """Write TABLE in the format of another trainer.

    DATA is by default the folder data beside TABLE. For webshart and wids it is the shards that
    TABLE was compiled from, a folder or a glob; by default those beside TABLE and in data there.
    """
    folder = data or loader.beside(table, "data")
    with one_sentence():
        path = out or FORMATS[form].default_name(table, folder)
        rows = export(table, path, form, data, watcher=show_progress())
        lines = loader.about_caches(loader.entry_file(table), table) if form == "webshart" else []
    tell(f"Wrote {rows:,} rows to {path}")
    for line in lines:
        tell(line)


@cutline.command("report")
@click.argument("table", type=MADE_TABLE)
@click.argument("data", type=DATA, required=False)
@taking(job=JobOptions)
def report_command(table: str, data: str | None, job: JobOptions) -> None:
    """Write the page X.report.html beside X.parquet; with DATA, verify the dataset, too."""
    run_job(job, report_table, table, data)


add_examples(cutline)
