"""What a worker needs, imported once in the process that workers are forked from."""

import gc

# As the documentation of `gc.freeze` advises for a process that will fork: no collection before it,
# and what is there by then is not looked through again by any worker.
gc.disable()

from distributed import Nanny  # noqa: E402, F401

import cutline.captions  # noqa: E402
import cutline.verify  # noqa: E402, F401

gc.freeze()
gc.enable()
