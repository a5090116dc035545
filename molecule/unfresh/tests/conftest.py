"""Import the fixtures of tests/machine for the machine that was used before."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
