"""What a Dask user writes first: the paths in the graph, a row at a time through the bag.

python naive_bag.py compile DATA TABLE
python naive_bag.py graph DATA          bytes of its graph, pickled
"""

import glob
import json
import os
import sys
from typing import Any

import cloudpickle
import dask
import dask.bag as db
import dask.dataframe as dd
from distributed import Client, LocalCluster

COLUMNS = {"width": "int64", "height": "int64", "caption": "string", "filename": "string"}


def load(path: str) -> dict[str, Any]:
    with open(path) as file:
        return json.load(file)


def has_width(sidecar: dict[str, Any]) -> bool:
    return "width" in sidecar


def row(sidecar: dict[str, Any]) -> dict[str, Any]:
    return {
        "width": int(sidecar["width"]),
        "height": int(sidecar["height"]),
        "caption": sidecar["short_caption"],
        "filename": sidecar["image_name"],
    }


def rows(data: str) -> dd.DataFrame:
    paths = glob.glob(f"{glob.escape(data)}/*.json")
    bag = db.from_sequence(paths, npartitions=100).map(load).filter(has_width).map(row)
    return bag.to_dataframe(meta=COLUMNS)


def compile_table(data: str, table: str) -> None:
    parts = os.path.splitext(table)[0] + ".parts"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        rows(data).to_parquet(parts, write_index=False)
        dd.read_parquet(parts).compute().to_parquet(table, index=False)


def graph_bytes(data: str) -> int:
    (optimised,) = dask.optimize(rows(data))
    return len(cloudpickle.dumps(dict(optimised.__dask_graph__())))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", data, table]:
            compile_table(data, table)
        case ["graph", data]:
            print(graph_bytes(data))
        case _:
            sys.exit(__doc__)
