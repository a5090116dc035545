"""The command line of `fraud`."""
