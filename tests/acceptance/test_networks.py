"""Agents whose network is held: they work with makima as any others do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cluster, git


@pytest.fixture(scope="module", params=["none", "hosts"])
def cluster(request: pytest.FixtureRequest, empty_home: Path) -> Iterator[Cluster]:
    running = Cluster(empty_home, sweep_seconds="3600", network=request.param)
    running.makima("up", "--detach", "--daemons", "1")
    yield running
    running.makima("down")


def test_an_agent_plans_and_works_with_makima_alone(cluster: Cluster, origin: Path) -> None:
    plan = json.dumps(
        [
            {
                "name": "Look",
                "taskPlan": "makima directive show $MAKIMA_DIRECTIVE_ID -o json >seen.json; git add seen.json",
            }
        ]
    )
    goal = f"Look.\n\n```sh\nmakima directive batch-add-steps --json '{plan}'\n```\n"
    create = ("directive", "create", "--title", "Look around", "--goal", goal, "--repo", str(origin))
    directive = cluster.make(*create, "--agent", "shell", "--start")
    cluster.makima("directive", "watch", directive, "--timeout", "90")
    shown = cluster.show(directive)
    assert shown["status"] == "completed", shown
    assert json.loads(git(origin, "show", f"{shown['pr_branch']}:seen.json"))["id"] == directive
