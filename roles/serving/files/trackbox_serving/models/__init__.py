"""Models: which ones may be loaded, and how they score rows."""
