"""Import the fixtures of tests/machine for the machine whose secrets are rotated."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
