"""W6: W1 in a database with a past: idle directives and old tasks must not slow a hop down."""

from __future__ import annotations

from typing import Any

import psycopg

from bench.cluster import cluster
from bench.figures import Figure, percentile
from bench.workloads import chain

DIRECTIVES = 10_000
TASKS = 1_000_000
STEPS_A_DIRECTIVE = 10


def run(scale: float) -> list[Figure]:
    """W6."""
    with cluster() as running:
        driver, api = running.driver(), running.api()
        young = chain.measure(api, driver, scale)
        with running.sql() as connection:
            fill(connection, max(round(DIRECTIVES * scale), 10), max(round(TASKS * scale), 100))
        running.checkpoint()
        old = chain.measure(api, driver, scale)
    ratio = percentile(old, 50) / percentile(young, 50)
    return [
        Figure(name="hop p50 in a new database", value=percentile(young, 50), unit="ms"),
        Figure(name="hop p50 with a past", value=percentile(old, 50), unit="ms"),
        Figure(name="hop p99 with a past", value=percentile(old, 99), unit="ms"),
        Figure(name="hop p50, relative", value=ratio, unit="x", goal=1.2),
    ]


def fill(connection: psycopg.Connection[Any], directives: int, tasks: int) -> None:
    """Idle directives, delivered and waiting for their pull requests, with completed steps and tasks."""
    sizes = {"directives": directives, "tasks": tasks, "steps": STEPS_A_DIRECTIVE}
    connection.execute(_PAST, sizes)
    connection.execute(_DIRECTIVES)
    connection.execute(_STEPS, sizes)
    connection.execute(_TASKS, sizes)
    connection.execute("DROP TABLE past")
    connection.execute("VACUUM ANALYZE")


_PAST = "CREATE TABLE past AS SELECT n, gen_random_uuid() AS id FROM generate_series(0, %(directives)s - 1) AS n"
_DIRECTIVES = """
    INSERT INTO makima.directive (id, owner_id, title, goal, repository_url, status, pr_branch, pr_url, delivered_at)
    SELECT past.id, o.id, 'past ' || n, 'done', 'file:///bench', 'idle', 'makima/directive-past-' || n,
           'https://forge.example/pull/' || n, makima.now()
      FROM past, (SELECT id FROM makima.owner LIMIT 1) AS o
"""
_STEPS = """
    INSERT INTO makima.step (id, directive_id, name, status, branch, completed_at, delivered)
    SELECT gen_random_uuid(), past.id, 'step ' || s, 'completed', 'makima/past', makima.now(), true
      FROM past, generate_series(1, %(steps)s) AS s
"""
_TASKS = """
    INSERT INTO makima.task (id, owner_id, directive_id, kind, name, status, daemon, branch, ended_at)
    SELECT gen_random_uuid(), o.id, past.id, 'step', 'step ' || t, 'completed', 'gone', 'makima/past', makima.now()
      FROM (SELECT id FROM makima.owner LIMIT 1) AS o, generate_series(0, %(tasks)s - 1) AS t
      JOIN past ON past.n = t %% %(directives)s
"""
