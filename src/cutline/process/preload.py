"""What a worker needs, loaded once in the process that workers are forked from; see `startup`."""

import gc

# As `gc.freeze` has it for a process that will fork: no collection before, and what is there by
# then is never looked through again, in any worker.
gc.disable()

import distributed.nanny  # noqa: E402, F401

import cutline.captions  # noqa: E402
import cutline.verify  # noqa: E402, F401

gc.freeze()


gc.enable()
