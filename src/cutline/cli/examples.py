"""What the help says of each command in short, and its examples; the tests parse them."""

from typing import Final

import click

EXAMPLES: Final = {
    "compile": [
        "cutline compile dalle3/data dalle3/dalle3.parquet",
        "cutline compile 'dalle3/data/*.tar' dalle3/dalle3.parquet",
        "cutline compile dalle3/data long.parquet --caption-field long_caption",
    ],
    "captions": [
        "cutline captions dalle3/dalle3.parquet dalle3/data",
        "cutline captions dalle3/data dalle3/data --caption-field long_caption",
    ],
    "run": [
        "cutline run dalle3",
        "cutline run dalle3 --orphans move",
        "cutline run dalle3 --no-extract --workers 4",
    ],
    "head": [
        "cutline head dalle3/dalle3.parquet -n 5",
        "cutline head dalle3/dalle3.rejects.parquet --format csv",
    ],
    "demo": ["cutline demo demo3", "cutline demo demo3 --records 5000 --loose"],
    "extract": [
        "cutline extract dalle3/data dalle3/data",
        "cutline extract 'dalle3/data/*.tar' sidecars --only sidecars",
    ],
    "verify": [
        "cutline verify dalle3/dalle3.parquet dalle3/data",
        "cutline verify dalle3/dalle3.parquet dalle3/data --orphans move=dalle3/orphans",
        "cutline verify dalle3/dalle3.parquet dalle3/data --check-sizes",
    ],
    "loader": [
        "cutline loader dalle3/dalle3.parquet",
        "cutline loader dalle3/dalle3.parquet dalle3/data --strategy parquet",
    ],
    "export": [
        "cutline export dalle3/dalle3.parquet --format jsonl",
        "cutline export shards/dalle3.parquet --format webshart",
    ],
    "report": ["cutline report dalle3/dalle3.parquet dalle3/data"],
}


IN_SHORT: Final = {
    "captions": "A caption file beside each image.",
    "compile": "The sidecars of a folder or of shards, as one table.",
    "demo": "A small dataset with planted faults, to try it on.",
    "export": "The table as other trainers read it.",
    "extract": "Shards to files.",
    "head": "The first rows of a table, its parts or its rejects.",
    "loader": "The trainer's entry for the table.",
    "report": "A page about the table.",
    "run": "All of it, on one dataset folder.",
    "verify": "What the trainer will find, checked.",
}
"""What the list of commands says of each."""


def add_examples(group: click.Group) -> None:
    """Put its examples below the help of each command, and a line into the list of all."""
    for name, lines in EXAMPLES.items():
        group.commands[name].short_help = IN_SHORT.get(name)
        group.commands[name].epilog = "\b\n" + "\n".join(
            ["Examples:", *(f"  {line}" for line in lines)]
        )
