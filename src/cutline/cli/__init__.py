"""TODO cli."""

from cutline.cli.commands import cutline

__all__ = ["cutline"]
