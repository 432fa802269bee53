"""Postgres: the pool, the unit of work, the migrations, named statements, and the embedded server."""
