"""Import the fixtures of tests/machine for the machine that is backed up."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
