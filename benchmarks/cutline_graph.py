"""The bytes of the largest graph that a compile sends to its scheduler, pickled.

    python cutline_graph.py SOURCE

Runs the compile on a local cluster and weighs each graph on its way.
"""

import sys
import tempfile
from collections.abc import Iterable
from typing import Any

import cloudpickle
from distributed import Client, LocalCluster

from cutline import compile_table


class Scale(Client):
    """A client that weighs what it is asked to compute."""

    heaviest = 0

    def compute(self, collections: Iterable[Any], **options: Any) -> Any:  # noqa: ANN401
        """Weigh first."""
        graph: dict[Any, Any] = {}
        for collection in collections:
            graph |= dict(collection.__dask_graph__())
        self.heaviest = max(self.heaviest, len(cloudpickle.dumps(graph)))
        return super().compute(collections, **options)


def graph_bytes(source: str) -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Scale(cluster) as client,
    ):
        compile_table(source, f"{folder}/table.parquet", client=client)
        return client.heaviest


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(graph_bytes(sys.argv[1]))
