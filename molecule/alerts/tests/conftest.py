"""The fixtures of tests/machine, imported for the tests of this scenario."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
