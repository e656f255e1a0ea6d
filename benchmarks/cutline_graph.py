"""The bytes of the graph that a compile sends to the scheduler, pickled.

    python cutline_graph.py SOURCE

Reaches into cutline, because no command tells this.
"""

import sys
import tempfile

import cloudpickle

from cutline.options import DEFAULTS
from cutline.running import tasks_of
from cutline.sources import open_source
from cutline.store import Outputs, locked
from cutline.table import Job, plan_parts, rows_bag


def graph_bytes(source: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs.of(f"{folder}/table.parquet")
        with locked(outputs, print) as lock:
            job = Job(open_source(source), outputs, DEFAULTS, lock)
            first, *_ = tasks_of(rows_bag(job, plan_parts(job)))
    return len(cloudpickle.dumps(dict(first.dask)))  # the tasks have one graph between them


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(graph_bytes(sys.argv[1]))
