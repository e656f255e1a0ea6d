"""The command line's first step: `cutline`, and `python -m cutline`."""

import atexit
import gc
import sys

from cutline import prefork

JOBS = {"compile", "captions", "run", "extract", "verify", "report"}
"""The commands that start a cluster."""


def main() -> None:
    """Begin to load what workers need, and run the command line."""
    with prefork.stopped_at_once(), prefork.uncollected():
        if JOBS.intersection(sys.argv[1:2]):
            prefork.start_server()
        from cutline.cli import main  # noqa: PLC0415 - after what must come first

        gc.freeze()  # what is there by now is never looked through
    # And neither is what is there at the end of the process, which would take 0.4 s.
    atexit.register(gc.freeze)
    main()


if __name__ == "__main__":
    main()
