"""One caption text file beside each image. Copy this file, change it, submit it.

python jobs/captions.py SOURCE DATA [--cluster cluster.yaml]
"""

import argparse
import sys

import cutline


def main() -> None:
    """Write the caption files of SOURCE below DATA on the cluster that the file describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="X.parquet, or a folder of sidecars")
    parser.add_argument("data", help="the folder of the images")
    parser.add_argument("--cluster", help="a cluster.yaml; without it, the cores of this machine")
    arguments = parser.parse_args()

    cluster = cutline.read_cluster(arguments.cluster) if arguments.cluster else cutline.Local()
    with cutline.connect(cluster) as client:
        summary = cutline.write_captions(arguments.source, arguments.data, client=client)
    print(summary)
    sys.exit(summary.shortfall or None)


if __name__ == "__main__":
    main()
