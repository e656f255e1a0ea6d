"""The whole recipe on one dataset folder. Copy this file, change it, submit it.

python jobs/dalle3.py ROOT [--cluster cluster.yaml]
"""

import argparse
import sys

import cutline


def main() -> None:
    """Prepare ROOT/data: unpack the shards, make ROOT/X.parquet, and a caption file an image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="the folder of the dataset; its images are in ROOT/data")
    parser.add_argument("--cluster", help="a cluster.yaml; without it, the cores of this machine")
    arguments = parser.parse_args()

    cluster = cutline.read_cluster(arguments.cluster) if arguments.cluster else cutline.Local()
    with cutline.connect(cluster) as client:
        print("Watch it at", client.dashboard_link, flush=True)
        summary = cutline.run(arguments.root, client=client)
    print(summary)
    sys.exit(summary.shortfall or None)


if __name__ == "__main__":
    main()
