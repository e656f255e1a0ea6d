"""What a job has to do, as a plan of parts, and what of it is done.

`planning` makes the plan of a compile in one call; `plan_file` keeps it, and `shard_index` lists
what is in shards for it. `receipts` say what became of each part and how long it took, and the
`ledger` names each sidecar that gave no row.
"""

from cutline.plan import free_space, ledger, marks, plan_file, planning, receipts, shard_index
from cutline.plan.receipts import Receipt

__all__ = [
    "Receipt",
    "free_space",
    "ledger",
    "marks",
    "plan_file",
    "planning",
    "receipts",
    "shard_index",
]
