"""Which models may be loaded, and how a loaded model scores rows."""
