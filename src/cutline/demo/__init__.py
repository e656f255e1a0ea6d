"""A small dataset with planted faults, and what a correct run must count on it."""

from cutline.demo.make import Expected, make_demo
from cutline.demo.samples import DemoOptions

__all__ = ["DemoOptions", "Expected", "make_demo"]
