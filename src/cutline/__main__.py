"""The command line's first step: `cutline`, and `python -m cutline`."""

import atexit
import gc
import sys

from cutline import prefork

JOBS = {"compile", "captions", "run", "verify", "report"}
"""The commands that start a cluster."""


def main() -> None:
    """Begin to load what workers need, and run the command line."""
    if JOBS.intersection(sys.argv[1:2]):
        prefork.start_server()
    # Imports make half a million objects, and hardly any garbage: to look for it at each step takes
    # 0.1 s of 0.6, and to look through them all once more at the end of the process 0.4 s.
    gc.disable()
    from cutline.cli import main  # noqa: PLC0415 - after what must come first

    gc.enable()
    atexit.register(gc.freeze)
    main()


if __name__ == "__main__":
    main()
