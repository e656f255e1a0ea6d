"""Tar shards to images and sidecars. Copy this file, change it, submit it.

python jobs/extract.py SHARDS DATA [--cluster cluster.yaml]
"""

import argparse
import sys

import cutline


def main() -> None:
    """Unpack SHARDS below DATA on the cluster that the file describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", help="a folder of .tar files, one of them, or a glob")
    parser.add_argument("data", help="the folder to unpack into")
    parser.add_argument("--cluster", help="a cluster.yaml; without it, the cores of this machine")
    arguments = parser.parse_args()

    cluster = cutline.read_cluster(arguments.cluster) if arguments.cluster else cutline.Local()
    with cutline.connect(cluster) as client:
        summary = cutline.extract(arguments.shards, arguments.data, client=client)
    print(summary)
    sys.exit(summary.shortfall or None)


if __name__ == "__main__":
    main()
