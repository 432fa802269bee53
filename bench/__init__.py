"""Benchmarks: the workloads of docs/benchmarks.md on real processes, real sockets and a durable Postgres.

The orchestrator is measured with a daemon that answers every SpawnTask at once (`bench.daemon`); the real daemon by
itself. `just bench [NAME...]` runs them, prints a table and writes `bench/results/NAME.json`.
"""
