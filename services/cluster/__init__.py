"""The cluster: starts and supervises Postgres, the broker, the services and daemons on one machine.

Writes no row. Each is a process of its own, restarted with backoff when it dies, and ended with the cluster.
"""
