"""What a worker needs, loaded once in the process that workers are forked from; see `prefork`."""

import gc

# As `gc.freeze` has it for a process that will fork: no collection before, and what is there by
# then is never looked through again, in any worker.
gc.disable()

import distributed.nanny  # noqa: E402, F401

import cutline.captions  # noqa: E402
import cutline.verify  # noqa: E402, F401
from cutline.prefork import spare_pandas  # noqa: E402

spare_pandas()

gc.freeze()
gc.enable()
