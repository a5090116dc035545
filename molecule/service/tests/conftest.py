"""Import the fixtures of tests/machine for the machine on which the service `hello` is added."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
