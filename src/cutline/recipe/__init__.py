"""`cutline run`: the whole recipe on the folder of one dataset."""

from cutline.recipe.dataset_root import check_shards, layout
from cutline.recipe.whole_run import RUN_DEFAULTS, RunOptions, RunSummary, run

__all__ = ["RUN_DEFAULTS", "RunOptions", "RunSummary", "check_shards", "layout", "run"]
