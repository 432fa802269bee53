"""What of a plan no daemon offers is said at once, with what was probably meant."""

from __future__ import annotations

import msgspec
import pytest

from shared.domain.offers import lacking, no_such_agent
from shared.domain.plans import PlannedStep


class Offer(msgspec.Struct, frozen=True):
    agents: tuple[str, ...] = ("shell", "claude")
    labels: tuple[str, ...] = ()


OFFERS = (Offer(labels=("gpu", "linux")), Offer(agents=("shell", "codex"), labels=("mac",)))


def step(name: str, agent: str | None = None, *labels: str) -> PlannedStep:
    return PlannedStep(name=name, agent=agent, labels=labels)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step("a"), step("b", "codex"), step("c", "claude", "gpu", "linux")], []),
        ([step("a", "cluade")], ["no daemon has the agent 'cluade'; 'claude' is the nearest: 'a' waits until one has"]),
        (
            [step("a", None, "qpu"), step("b", None, "qpu")],
            [
                "no daemon has the label 'qpu'; 'gpu' is the nearest: 'a', 'b' wait until one has"
                " (a daemon offers it by its setting labels)"
            ],
        ),
        (
            [step("a", None, "x", "x")],
            [
                "no daemon has the label 'x'; there are gpu, linux, mac: 'a' waits until one has"
                " (a daemon offers it by its setting labels)"
            ],
        ),
        (
            [step("a", "codex", "gpu")],
            ["no daemon has the agent 'codex' and the labels gpu together: 'a' waits until one has"],
        ),
        (
            [step("a", None, "mac", "gpu")],
            ["no daemon has the agent 'shell' and the labels gpu, mac together: 'a' waits until one has"],
        ),
    ],
)
def test_what_nobody_offers_is_named_with_the_nearest(steps: list[PlannedStep], said: list[str]) -> None:
    assert lacking(steps, "shell", OFFERS) == said


def test_without_any_daemon_nothing_is_said() -> None:
    assert lacking([step("a", "cluade", "x")], "shell", ()) == no_such_agent("cluade", ()) == []


def test_a_mistyped_agent_of_a_directive_is_named_with_the_nearest() -> None:
    (said,) = no_such_agent("cluade", OFFERS)
    assert said == "no daemon has the agent 'cluade'; 'claude' is the nearest: its tasks wait until one has"
    assert no_such_agent("claude", OFFERS) == []
