"""Seeded disasters on virtual time: the services' real code, an in-memory bus, simulated daemons, a real Postgres.

A history is one cluster's life under faults; its seed replays it. A checker follows what the daemons saw, the audit
log and the tables.
"""
