"""Imports the fixtures of molecule/tests for the machine that is upgraded."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
