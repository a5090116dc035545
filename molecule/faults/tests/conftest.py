"""Imports the fixtures of tests/machine: the machine, and its power switch."""

from machine import Machine, host, machine, viewer
from power_cut import power

__all__ = ["Machine", "host", "machine", "power", "viewer"]
