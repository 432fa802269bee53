"""The description of the HTTP interface is true: requests made up from it, good and bad, against a real gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.gateway.test_gateway import free_port
from tests.contract.gateway.test_rights import World
from tests.contract.service_harness import ServiceHarness
from tests.sampled import sampled

SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
MAX_SECONDS = 50


WHOLE = ("examples,coverage,fuzzing", 5)
"""What is made up of each operation: what covers the bounds of its parameters and fields, and so many at random."""
EACH_RUN = ("examples,fuzzing", 3)

CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "415", "422", "5xx"]

[[operations]]
include-path = "/v1/names"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403"]
"""
"""Beside what can't be done as things stand: another version than If-Match names, and what makes no sense together.
A name that holds what can't be shown is refused, which no pattern of OpenAPI says of all scripts."""


@pytest.mark.parametrize(("phases", "examples"), sampled((EACH_RUN, WHOLE), {EACH_RUN}))
def test_what_the_description_says_is_what_is_answered(
    stage: ServiceHarness, tmp_path: Path, phases: str, examples: int
) -> None:
    world = World(stage)
    address = f"http://127.0.0.1:{stage.settings.port}"
    token = (stage.settings.home / "token").read_text().strip()
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    asked = [
        *("run", f"{address}/schema/openapi.json", "--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--phases", phases, "--max-examples", str(examples)),
        *("--exclude-path", "/v1/events", "--max-time", str(MAX_SECONDS)),
        *("--generation-deterministic", "--no-color"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *asked],
        cwd=tmp_path, capture_output=True, text=True, timeout=MAX_SECONDS * 4, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert world.stage.alive
