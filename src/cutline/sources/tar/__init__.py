"""Tar archives, walked safely: their headers, their members, and where they are damaged."""
