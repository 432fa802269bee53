"""A stage a module: one database, the broker's sockets played by the test, and the service under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import postgres
from tests.contract.ledger import assert_own_rows_only
from tests.contract.service_harness import ServiceHarness


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    """The session's Postgres."""
    with postgres.running() as running:
        yield running


@pytest.fixture(scope="module")
def theatre(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ServiceHarness]:
    """The module's stage, with the service that the module names in SERVICE (and its SETTINGS) running on it."""
    service: str = request.module.SERVICE
    settings: dict[str, str] = getattr(request.module, "SETTINGS", {})
    with ServiceHarness(server, tmp_path_factory.mktemp(service), service, **settings) as stage:
        stage.start()
        yield stage


@pytest.fixture
def stage(theatre: ServiceHarness) -> Iterator[ServiceHarness]:
    """The stage, swept. When the test is over: the service wrote its own rows only, as `ownership.py` says.

    What a test of the monitor writes is there at once when it next sends or waits: the monitor looks at everything
    every two seconds, and is not to meet a directive without its steps.
    """
    theatre.sweep()
    theatre.connection.autocommit = theatre.service != "monitor"
    yield theatre
    theatre.connection.commit()
    theatre.connection.autocommit = True
    assert_own_rows_only(theatre)
