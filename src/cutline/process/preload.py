"""What a worker needs, imported once in the process that workers are forked from."""

import gc

# As the documentation of `gc.freeze` advises for a process that will fork: no collection before it,
# and what is there by then is not looked through again by any worker.
gc.disable()

import pyarrow as pa  # noqa: E402
from distributed import Nanny  # noqa: E402, F401

import cutline.captions  # noqa: E402
import cutline.verify  # noqa: E402, F401

# With its first array pyarrow imports pandas, if that is installed: once here instead of once a
# worker, a job on two workers without a dashboard is done 0.36 s earlier (medians of 9, of 2.7 s).
pa.array([])

gc.freeze()
gc.enable()
