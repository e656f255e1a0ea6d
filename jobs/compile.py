"""Sidecars, in a folder or in tar shards, as one parquet table. Copy this, change it, submit it.

python jobs/compile.py SOURCE TABLE [--cluster cluster.yaml]
"""

import argparse
import sys

import cutline


def main() -> None:
    """Compile SOURCE into TABLE on the cluster that the file describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of sidecars or of tar shards, or its URL")
    parser.add_argument("table", help="X.parquet")
    parser.add_argument("--cluster", help="a cluster.yaml; without it, the cores of this machine")
    arguments = parser.parse_args()

    options = cutline.CompileOptions(
        rules=cutline.Rules(caption_fields=("short_caption", "long_caption")),
        max_rejects=0.1,
    )
    cluster = cutline.read_cluster(arguments.cluster) if arguments.cluster else cutline.Local()
    with cutline.connect(cluster) as client:
        summary = cutline.compile_table(arguments.source, arguments.table, options, client=client)
    print(summary)
    sys.exit(summary.shortfall or None)


if __name__ == "__main__":
    main()
