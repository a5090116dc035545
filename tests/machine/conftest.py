"""The fixtures are in modules of their own, because tests of other scenarios use them, too."""

from endpoint import endpoint, versions
from machine import Machine, host, machine, viewer

__all__ = ["Machine", "endpoint", "host", "machine", "versions", "viewer"]
