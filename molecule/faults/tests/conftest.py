"""Imports the fixtures of tests/machine: the machine, its power switch and its full disk."""

from full_disk import filler
from machine import Machine, host, machine, viewer
from power_cut import power

__all__ = ["Machine", "filler", "host", "machine", "power", "viewer"]
