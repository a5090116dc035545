"""Environments of versions: Python packages for versions that the default environment does not satisfy."""
