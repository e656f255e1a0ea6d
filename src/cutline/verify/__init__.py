"""What a trainer will find in a table and a folder, and orphans moved out of its way.

`checks` names all that is looked for, and whether it fails a verification.
"""

from cutline.verify import checks
from cutline.verify.checks import VerifyOptions
from cutline.verify.orphan_moves import caption_orphans, move_orphans, restore_orphans
from cutline.verify.verdict import VerifySummary
from cutline.verify.verification import verify_dataset

__all__ = [
    "VerifyOptions",
    "VerifySummary",
    "caption_orphans",
    "checks",
    "move_orphans",
    "restore_orphans",
    "verify_dataset",
]
