"""Serve versions of registered models over HTTP."""
