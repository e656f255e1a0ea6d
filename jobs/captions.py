"""One caption text file beside each image of a table. Copy this file, change it, submit it.

python jobs/captions.py TABLE DATA [--cluster cluster.yaml]
"""

import argparse

import cutline


def main() -> None:
    """Write the caption files of TABLE below DATA on the cluster that the file describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="X.parquet, or a folder of sidecars")
    parser.add_argument("data", help="the folder of the images")
    parser.add_argument("--cluster", help="a cluster.yaml; without it, the cores of this machine")
    arguments = parser.parse_args()

    cluster = cutline.read_cluster(arguments.cluster) if arguments.cluster else cutline.Local()
    with cutline.connect(cluster) as client:
        print(cutline.write_captions(arguments.source, arguments.data, client=client))


if __name__ == "__main__":
    main()
