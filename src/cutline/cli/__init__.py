"""The command line: `cutline` is the click group that holds all commands.

Its options are the fields of the option classes: see `generated`.
"""

from cutline.cli.commands import cutline

__all__ = ["cutline"]
