"""The fixtures stand in machine.py, for the other scenarios' tests too."""

from machine import Machine, host, machine, viewer

__all__ = ["Machine", "host", "machine", "viewer"]
