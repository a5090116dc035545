"""Monitoring on the machine: metrics that no exporter provides, and a status page with each problem and its remedy."""
