"""Goals and plans that run."""
