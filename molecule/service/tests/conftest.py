"""The fixtures of molecule/tests, for the machine that gets one more service."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
