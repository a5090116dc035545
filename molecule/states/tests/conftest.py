"""Import the fixtures of tests/machine for the machine whose playbooks are killed."""

from machine import Machine, host, machine

__all__ = ["Machine", "host", "machine"]
