"""Import the fixtures of tests/machine for the machine on which everything is switched off."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
