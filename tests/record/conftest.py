"""What is a program and no test."""

collect_ignore = ["sets/make_sets.py"]  # it runs among the tools, which are not installed here
