"""The live stream: one follower of the audit log, and every client that listens."""
