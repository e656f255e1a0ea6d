"""Unpack shards as people write it in Python.

python tarfile_extract.py SHARDS DATA
"""

import glob
import os
import sys
import tarfile

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    shards, data = sys.argv[1:]
    os.mkdir(data)
    for path in sorted(glob.glob(f"{glob.escape(shards)}/*.tar")):
        with tarfile.open(path) as archive:
            archive.extractall(data, filter="data")
