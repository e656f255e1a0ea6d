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
    "run": "Do everything for one dataset folder.",
    "demo": "Make a small dataset with planted faults, to try it on.",
    "extract": "Unpack shards.",
    "compile": "Make one table of the sidecars in a folder or in shards.",
    "captions": "Write a caption file beside each image.",
    "verify": "Check what the trainer will find.",
    "loader": "Write the trainer's entry for the table.",
    "report": "Write a page about the table.",
    "export": "Write the table as other trainers read it.",
    "head": "Show the first rows of a table, its parts or its rejects.",
}
"""What the list of commands says of each, in its order."""


def add_examples(group: click.Group) -> None:
    """Put its examples below the help of each command, and a line into the list of all."""
    for name, lines in EXAMPLES.items():
        group.commands[name].short_help = IN_SHORT.get(name)
        group.commands[name].epilog = "\b\n" + "\n".join(
            ["Examples:", *(f"  {line}" for line in lines)]
        )
