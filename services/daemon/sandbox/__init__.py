"""What keeps a program of an agent, a check or a setup to what it may see and touch."""
