"""Imports the fixtures of tests/machine for the machine that is not fresh."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
