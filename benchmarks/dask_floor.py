"""The floor as a Dask job: what a local cluster with a dashboard costs, and still nothing checked.

    python dask_floor.py DATA TABLE
    python dask_floor.py DATA TABLE checked

It is the least that any program must do that lets its users watch two workers on Dask's dashboard.
The second checks each sidecar and remembers its stamp, in a plain loop: the least that any program
must do that promises what `cutline` does. It prints the seconds of its stages as floor.py does.
"""

import json
import sys
from time import perf_counter

from distributed import Client, LocalCluster

from floor import PROCESSES, merge, sidecar_names, write_checked_part, write_part

HOST = "127.0.0.1"


def compile_table(data: str, table: str, loop: str = "bare") -> dict[str, float]:
    parts = [f"{table}.{number}" for number in range(PROCESSES)]
    with (
        LocalCluster(
            n_workers=PROCESSES, threads_per_worker=1, host=HOST, dashboard_address=f"{HOST}:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        began = perf_counter()
        names = sidecar_names(data)
        half = -(-len(names) // PROCESSES)
        listed = perf_counter()
        # The tasks take the names from the folder again, which is cheaper than to send them.
        halves = [
            client.submit(write_half, loop, data, at * half, half, part)
            for at, part in enumerate(parts)
        ]
        client.gather(halves)
        written = perf_counter()
        merge(parts, table)
        merged = perf_counter()
    return {"list": listed - began, "rows": written - listed, "merge": merged - written}


def write_half(loop: str, data: str, begin: int, count: int, part: str) -> None:
    write = write_checked_part if loop == "checked" else write_part
    write(data, sidecar_names(data)[begin : begin + count], part)


if __name__ == "__main__":
    print(json.dumps({"stages": compile_table(*sys.argv[1:])}))
