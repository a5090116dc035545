"""Imports the fixtures of tests/machine for the machine whose alerts are raised."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
