"""Import fixtures of tests/machine: the machine, its power switch, and the served models."""

from endpoint import endpoint, versions
from machine import Machine, host, machine
from power_cut import power

__all__ = ["Machine", "endpoint", "host", "machine", "power", "versions"]
