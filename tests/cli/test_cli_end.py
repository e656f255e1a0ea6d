import sys

import click
import pytest
from click.testing import CliRunner

from cutline import CutlineError, UsageError
from cutline.cli.endings import one_sentence
from cutline.process.signals import INTERRUPTED


def ended(error):
    """What a command ends with that raises an exception."""

    @click.command()
    def command():
        with one_sentence():
            raise error

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (CutlineError("Too bad: mend it."), 1, "cutline: Too bad: mend it.\n"),
        (UsageError("Not so: say it otherwise."), 2, "cutline: Not so: say it otherwise.\n"),
        (
            OSError(28, "No space left on device", "/data/x"),
            1,
            (
                "cutline: The job cannot go on ([Errno 28] No space left on device: '/data/x'):"
                " see to that, and run it again.\n"
            ),
        ),
        (
            CutlineError("In /a\nb/\x1b[2J\x9b: mend it."),
            1,
            "cutline: In /a b/ [2J : mend it.\n",
        ),
    ],
)
def test_a_command_that_cannot_go_on_ends_with_one_line_and_a_status(error, status, said):
    result = ended(error)
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", said)


def test_a_command_that_is_stopped_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/cutline", "compile", "my data", "t.parquet"])
    result = ended(KeyboardInterrupt())
    assert result.exit_code == INTERRUPTED == 130
    assert result.stderr == (
        "cutline: Stopped; what is done is kept,"
        " go on with `command compile 'my data' t.parquet`.\n"
    )


def test_what_cannot_go_on_after_a_stop_says_so():
    @click.command()
    def command():
        with one_sentence("remove it, and run this again"):
            raise KeyboardInterrupt

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stderr) == (
        INTERRUPTED,
        "cutline: Stopped; remove it, and run this again.\n",
    )


def test_an_error_of_ours_is_not_hidden():
    assert isinstance(ended(ZeroDivisionError()).exception, ZeroDivisionError)
