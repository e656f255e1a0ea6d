"""What a user is told when a job cannot go on, or was asked for with the wrong kind of argument."""

from cutline.errors.argument_checks import check_fields, checked
from cutline.errors.exceptions import CutlineError, UsageError, said
from cutline.errors.keywords import as_typed, flat, unwrapped

__all__ = [
    "CutlineError",
    "UsageError",
    "as_typed",
    "check_fields",
    "checked",
    "flat",
    "said",
    "unwrapped",
]
