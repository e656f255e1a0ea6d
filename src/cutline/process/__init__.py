"""How a process of cutline starts and stops: what is loaded when, and what Ctrl-C does."""

from cutline.process import private_api
from cutline.process.signals import INTERRUPTED, ctrl_c_held, stoppable, stopped_at_once
from cutline.process.startup import ENVIRONMENT, start_server, uncollected

__all__ = [
    "ENVIRONMENT",
    "INTERRUPTED",
    "ctrl_c_held",
    "private_api",
    "start_server",
    "stoppable",
    "stopped_at_once",
    "uncollected",
]
