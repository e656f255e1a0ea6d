"""A small dataset with planted faults, and what a correct run must count on it."""

from cutline.demo.make import Expected, make_demo
from cutline.demo.samples import DemoOptions, Form

__all__ = ["DemoOptions", "Expected", "Form", "make_demo"]
