"""Tar archives, walked safely."""
