"""Models that answer by a script, behind the real protocols: for real command lines that are run without any model."""
