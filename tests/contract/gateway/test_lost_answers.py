"""A gateway that dies in a change that no job of a whole cluster asks for: asked again, it is done once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared import failpoints
from tests.contract.gateway.test_gateway import free_port
from tests.contract.gateway.test_gateway import http as http
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
CHANGES = "SELECT FROM makima.event WHERE directive_id = %s AND type = 'directive.changed'"


@pytest.fixture
def armed(stage: ServiceHarness, tmp_path: Path) -> Iterator[Path]:
    """The folder of failpoints that the gateway goes by."""
    stage.environment["MAKIMA_FAILPOINTS"] = str(tmp_path)
    restart(stage)
    yield tmp_path
    del stage.environment["MAKIMA_FAILPOINTS"]
    restart(stage)


def restart(stage: ServiceHarness) -> None:
    stage.kill()
    stage.start()


@pytest.mark.parametrize("point", ["gateway.look_now.before_commit", "gateway.look_now.after_commit"])
def test_a_look_that_was_asked_for_is_noted_once(
    stage: ServiceHarness, http: httpx.Client, armed: Path, point: str
) -> None:
    waiting = stage.rows.directive()
    stage.rows.change("directive", waiting, status="idle", pr_state="open", pr_look_at="2100-01-01")
    failpoints.arm(armed, point, "kill")
    asked = {"Idempotency-Key": point}
    with pytest.raises(httpx.TransportError):
        http.post(f"/v1/directives/{waiting}/look", headers=asked)
    assert failpoints.fired(armed, point)
    restart(stage)
    assert http.post(f"/v1/directives/{waiting}/look", headers=asked).status_code == 200
    assert stage.rows.one("directive", waiting)["pr_look_at"].year < 2100
    assert len(stage.connection.execute(CHANGES, (waiting,)).fetchall()) == 1
