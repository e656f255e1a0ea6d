"""A small dataset with planted faults, to try cutline on, and what a correct run counts there.

`make_demo` writes sidecars and images as loose files or as tar shards. The same options make the
same bytes.
"""

from cutline.demo.making import Expected, make_demo
from cutline.demo.samples import DemoOptions, Form

__all__ = ["DemoOptions", "Expected", "Form", "make_demo"]
