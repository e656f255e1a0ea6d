"""What a job has to do, frozen as a plan, and what of it is done: receipts, ledger, timings."""

from cutline.plan import free_space, ledger, plan_file, planning, receipts, shard_index, timings
from cutline.plan.receipts import Receipt

__all__ = [
    "Receipt",
    "free_space",
    "ledger",
    "plan_file",
    "planning",
    "receipts",
    "shard_index",
    "timings",
]
