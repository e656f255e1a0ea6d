"""What a worker needs, loaded once in the process that workers are forked from; see `prefork`."""

import gc
import importlib.util

# As `gc.freeze` has it for a process that will fork: no collection before, and what is there by
# then is never looked through again, in any worker.
gc.disable()

import distributed.nanny  # noqa: E402, F401

import cutline.captions  # noqa: E402
import cutline.verify  # noqa: E402, F401

if importlib.util.find_spec("pandas"):
    # pyarrow imports it for its first array, wherever it is installed: 0.2 s a worker.
    importlib.import_module("pandas")

gc.freeze()
gc.enable()
