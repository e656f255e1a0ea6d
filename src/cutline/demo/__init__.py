"""TODO demo."""

from cutline.demo.making import Expected, make_demo
from cutline.demo.samples import DemoOptions, Form

__all__ = ["DemoOptions", "Expected", "Form", "make_demo"]
