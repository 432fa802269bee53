"""One folder a process; none imports another."""
