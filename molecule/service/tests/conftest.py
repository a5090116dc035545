"""The fixtures of tests/machine, for the machine that gets one more service."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
