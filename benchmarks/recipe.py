"""The recipe that cutline replaces: its two loops, one process, nothing checked.

    python recipe.py compile DATA TABLE
    python recipe.py captions DATA

The published scripts also draw a tqdm bar; leaving it out favours the recipe. Both of them import
pandas, the second for nothing.
"""

import glob
import json
import os
import sys

import pandas as pd

COLUMNS = ["width", "height", "caption", "filename"]


def compile_table(data: str, table: str) -> None:
    rows = []
    for path in glob.glob(f"{glob.escape(data)}/*.json"):
        with open(path) as file:
            sidecar = json.load(file)
        if "width" not in sidecar:
            continue
        rows.append(
            {
                "width": int(sidecar["width"]),
                "height": int(sidecar["height"]),
                "caption": sidecar["short_caption"],
                "filename": sidecar["image_name"],
            }
        )
    pd.DataFrame(rows, columns=COLUMNS).to_parquet(table, index=False)


def write_captions(data: str) -> None:
    for path in glob.glob(f"{glob.escape(data)}/*.json"):
        with open(path) as file:
            sidecar = json.load(file)
        if "width" not in sidecar:
            continue
        stem = os.path.splitext(sidecar["image_name"])[0]
        with open(f"{data}/{stem}.txt", "w") as file:
            file.write(sidecar["short_caption"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", data, table]:
            compile_table(data, table)
        case ["captions", data]:
            write_captions(data)
        case _:
            sys.exit(__doc__)
