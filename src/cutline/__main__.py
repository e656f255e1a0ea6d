"""The command line's first step: `cutline`, and `python -m cutline`."""

import atexit
import gc
import os
import sys

from cutline.process import start_server, stopped_at_once, uncollected

JOBS = {"compile", "captions", "run", "extract", "verify", "report"}
"""The commands that start a cluster."""


def main() -> None:
    """Start to load what workers need, and run the command line."""
    _check_folder()
    _open_streams()
    # Processes that are started from here on must not import a random.py of the current folder.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    with stopped_at_once(), uncollected():
        if JOBS.intersection(sys.argv[1:2]):
            start_server()
        from cutline.cli import cutline  # noqa: PLC0415 - after what must come first

        gc.freeze()  # what is imported by now is never looked through for garbage
    # Nor is what is there at the end of the process, which would take 0.4 s.
    atexit.register(gc.freeze)
    atexit.register(_discard_complaints)
    cutline()


def _check_folder() -> None:
    """Refuse to run in a folder that is gone: no process can be started there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        sys.exit("cutline: The folder that this is run in is gone: go to another one.")


def _open_streams() -> None:
    """Open the null device for each of the three standard streams that is closed.

    The next file that is opened would be taken for it.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the end
        getattr(sys, name).reconfigure(errors="backslashreplace")


def _discard_complaints() -> None:
    """Discard what standard error does not take; Python would end with status 120 for it."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    main()
