"""Backup of a Trackbox machine, and its restore."""
