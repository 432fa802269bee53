"""Git as the daemon runs it: one command, merges, resolutions, pushes, and the proof of what a merge holds."""
