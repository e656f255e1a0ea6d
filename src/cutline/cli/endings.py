"""How a command ends: with a result, or with one sentence and an exit status."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from cutline.errors import CutlineError, UsageError
from cutline.process import INTERRUPTED
from cutline.record import texts


@contextmanager
def one_sentence(after_stop: str = "") -> Iterator[None]:
    """End a command that cannot go on, with one sentence and an exit status.

    Parameters
    ----------
    after_stop
        What to do after a Ctrl-C; by default, to run the same command again.
    """
    try:
        yield
    except CutlineError as error:
        _complain(str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:  # a disk that is full, a folder where nothing may be written
        _complain(f"The job cannot go on ({error}): see to that, and run it again.")
        sys.exit(1)
    except KeyboardInterrupt:
        program = click.get_current_context().find_root().info_name  # cutline, or dask
        again = f"{program} {shlex.join(sys.argv[1:])}"
        go_on = f"what is done is kept, go on with `{again}`."
        _complain(f"Stopped; {after_stop + '.' if after_stop else go_on}")
        sys.exit(INTERRUPTED)


def _complain(sentence: str) -> None:
    tell(f"cutline: {sentence}")


def tell(sentence: str) -> None:
    """Print a sentence on standard error, without what a terminal would obey."""
    with suppress(OSError):  # it is closed or full; the exit status says it too
        line = texts.clean(sentence)
        if sys.stderr.isatty():
            line = texts.wrapped(line, shutil.get_terminal_size().columns)
        click.echo(line, err=True)


@contextmanager
def standard_output() -> Iterator[None]:
    """Let results be printed; a pipe whose reader has read enough is no error.

    Raises
    ------
    CutlineError
        They cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        raise CutlineError(
            f"The result cannot be written to standard output: {error.strerror}; see to that."
        ) from error


def _discard_output() -> None:
    # Or Python complains, as it exits, of what is left in the buffer.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
