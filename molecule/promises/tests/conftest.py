"""Import the fixtures of tests/machine for the machine whose promises are broken."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
