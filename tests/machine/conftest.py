"""The fixtures are in machine.py, because tests of other scenarios use them, too."""

from machine import Machine, host, machine, viewer

__all__ = ["Machine", "host", "machine", "viewer"]
