"""Folders on the daemon's disk: removed, measured and locked."""
