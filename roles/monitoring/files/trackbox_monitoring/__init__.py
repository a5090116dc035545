"""Monitoring on the machine: metrics that no exporter has, and what is wrong, in sentences."""
