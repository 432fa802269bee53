"""A forge on which people merge, close, edit, delete and push at every point of a delivery: nothing of it is lost.

Real git on a bare repository, the real gh on a played GitHub, the daemon's own deliveries, and the completer's own
rules for what follows from them. One test a pair of what somebody does and when.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.completer import ordering
from services.completer.rows import DeliveryDue, LookDue, Unsettled
from services.daemon.delivery import delivering, watching
from shared.config import Settings
from shared.domain.delivery import Delivery
from shared.domain.delivery_outcomes import Settled, settle
from shared.domain.ids import new_id
from tests import delivery_harness, forge_branches
from tests import github as fake
from tests.delivery_harness import TITLE, DeliveryHarness, write
from tests.github import GitHub
from tests.sampled import sampled

NOBODYS_TASK = {
    "task_id": new_id(), "delivery": None, "result": None, "generation": 1, "target_branch": None,
}  # fmt: skip
"""What of a task that ended doesn't decide here."""

pytestmark = pytest.mark.anyio

WORDS = "Please look at the tests."
BY_HAND = "by-hand.txt"
POINTS = (
    "before it is looked for",
    "before the check",
    "before the push",
    "after the push",
    "before it is looked at again",
    "before it is written",
    "after it is written",
    "before the clean-up",
)
ACTIONS = ("merge", "squash", "rebase", "close", "edit", "delete", "push")


ALL = [
    (action, point)
    for action in ACTIONS
    for point in POINTS
    if (action, point) != ("edit", "before it is written")
    and (point != "before the clean-up" or action in ("delete", "push"))
]
"""But for what can't be: once it was merged, it is. And no forge lets a body be written on the condition that nobody
has edited it since it was read, a moment ago."""
FIRST = [
    *[(a, p) for a in ("delete", "push") for p in ("after the push", "before it is written", "before the clean-up")],
    *[(a, "after it is written") for a in ACTIONS],
]
"""What can happen before there is a pull request, and once there is."""
EACH_RUN = {
    ("merge", "before the push"),
    ("squash", "before it is looked for"),
    ("rebase", "before it is written"),
    ("close", "before it is looked at again"),
    ("edit", "after it is written"),
    ("delete", "before the check"),
    ("push", "after the push"),
    ("push", "before the clean-up"),
}
"""Each action and each point once."""


class Story:
    """A directive on a forge: two deliveries, looks at its pull request, and somebody who acts once at one point."""

    def __init__(self, shop: DeliveryHarness, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop, self.hub = shop, hub
        self.armed: tuple[str, str] | None = None
        self.acted: str | None = None
        self.settings = Settings(home=shop.folder, merge_strategy="merge")
        self.status = "idle"
        self.delivered: set[UUID] = set()
        self.row: dict[str, Any] = {
            "id": shop.directive, "owner_id": new_id(), "title": TITLE, "goal": "Do it", "repository_url": hub.url,
            "pr_branch": None, "pr_url": None, "pr_state": None, "pr_round": 1, "pr_etag": None, "left_out": [],
            "merge_into_base": False, "check_command": "true", "delivered_heads": [], "seconds": 1.0, "usd": 0.0,
            "tokens": 0, "orders": [], "on_failure": "replan", "delivery_fixes": 0, "pr_looks": 0, "agent": "shell",
        }  # fmt: skip
        self.reason = ""
        self._wrap(monkeypatch, delivering, "push", "before the push", "after the push")
        self._wrap(monkeypatch, watching, "remove", "before the clean-up", None)
        self._wrap(monkeypatch, delivery_harness.Scripts, "run", "before the check", None)
        self._answer = hub.answer
        hub.answer = self.answer  # type: ignore[method-assign]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        """What the forge answers, with what people do before and after."""
        if method == "GET":
            self.act("before it is looked for" if "?" in path else "before it is looked at again")
        else:
            self.act("before it is written")
        answered = self._answer(method, path, body)
        if method != "GET":
            self.act("after it is written")
        return answered

    def act(self, point: str) -> None:
        """Do what is to be done at this point, once, where it can be done."""
        if self.armed is None or self.armed[1] != point:
            return
        what, pull, remote = self.armed[0], (self.hub.pulls or [{}])[-1], self.shop.remote
        branch = pull["head"]["ref"] if pull else self.shop.target
        there, opened = forge_branches.commit_of(remote, branch), pull.get("state") == "open"
        match what:
            case "merge" | "squash" | "rebase" if opened and there:
                self.hub.end(pull["number"], "merged", what)  # type: ignore[arg-type]
            case "close" if opened:
                self.hub.end(pull["number"], "closed")
            case "edit" if opened:
                pull["body"] = f"{WORDS}\n\n{pull['body']}"
            case "delete" if there:
                forge_branches.delete(remote, branch)
            case "push" if there:
                forge_branches.push(remote, branch, BY_HAND)
            case _:
                return
        self.acted, self.armed = what, None

    async def deliver(self) -> None:
        """What the completer orders of what is not delivered, and what it draws from that."""
        steps = [{**s, "delivered": UUID(s["id"]) in self.delivered} for s in self.steps()]
        task = ordering.deliver(msgspec.convert({**self.row, "steps": steps}, DeliveryDue), self.settings)
        await self._carry_out(task.order, task.target)

    async def look(self) -> None:
        """A look at the pull request, or for it."""
        action = "verify" if self.row["pr_url"] is None else "watch"
        done = [s for s in self.steps() if UUID(s["id"]) in self.delivered]
        branches = [{k: s[k] for k in ("id", "name", "branch", "head")} for s in done]
        row = {**self.row, "action": action, "steps": branches, "all_steps": self.steps()}
        task = ordering.look(msgspec.convert(row, LookDue), self.settings)
        await self._carry_out(task.order, task.target)

    def steps(self) -> list[dict[str, Any]]:
        """The steps as the completer reads them."""
        made = self.shop.steps.values()
        return [
            {"id": str(s.id), "name": s.name, "status": "completed", "branch": s.branch, "head": s.head} for s in made
        ]

    async def _carry_out(self, order: Delivery, target: str) -> None:
        command = self.shop.command(order, self.hub.url, target)
        result = await self.shop.carry_out(command)
        row = {**self.row, "status": self.status, "steps": self.steps()}
        unsettled = msgspec.convert({**NOBODYS_TASK, **row}, Unsettled)
        self._draw(settle(result, ordering.situation(unsettled, order, self.settings)), order)

    def _draw(self, settled: Settled, order: Delivery) -> None:
        """As the completer's statement does."""
        named = {
            "pr_branch": settled.branch,
            "pr_round": settled.round,
            "pr_url": settled.url,
            "pr_state": settled.state,
        }
        self.row |= {name: value for name, value in {**named, "pr_etag": settled.etag}.items() if value is not None}
        if settled.forgotten:
            self.row |= {"pr_url": None, "pr_state": None, "pr_etag": None}
        self.row["delivered_heads"] = [*self.row["delivered_heads"], *settled.heads]
        if settled.delivered:
            self.delivered |= {s.id for s in order.steps}
        self.delivered -= set(settled.undelivered)
        self.status, self.reason = settled.status or self.status, settled.reason or self.reason

    async def to_its_end(self) -> None:
        """Deliver and look, while a person merges what is proposed, until it is completed or waits for a person."""
        for _ in range(8):
            if self.status != "idle":
                return
            if any(UUID(s["id"]) not in self.delivered for s in self.steps()):
                await self.deliver()
                continue
            waits = self.armed is not None and self.armed[1] != "before the clean-up"
            if not waits and self.hub.pulls and self.hub.pulls[-1]["state"] == "open":
                self.hub.end(self.hub.pulls[-1]["number"], "merged")
            await self.look()
        raise AssertionError(f"it comes to no end: {self.status} {self.reason} {self.row}")

    def check(self) -> None:
        """Nothing is lost, and what is said is true."""
        remote = self.shop.remote
        base = self.shop.files("main")
        everywhere = {file for branch in self.shop.branches() for file in self.shop.files(branch)}
        for name in ("one.txt", "two.txt"):
            assert name in everywhere, f"{name} is on no branch of the remote: {self.reason}"
        if self.status == "completed":
            assert {"one.txt", "two.txt"} <= set(base), f"completed, and main lacks it: {self.reason}"
        if self.acted == "push":
            assert BY_HAND in everywhere, "a person's commit is lost"
        if self.acted == "edit":
            assert any(WORDS in pull["body"] for pull in self.hub.pulls), "a person's words are lost"
        assert forge_branches.commit_of(remote, "main")

    def _wrap(
        self, monkeypatch: pytest.MonkeyPatch, where: object, name: str, before: str | None, after: str | None
    ) -> None:
        inner: Callable[..., Awaitable[Any]] = getattr(where, name)

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            if before:
                self.act(before)
            done = await inner(*arguments, **named)
            if after:
                self.act(after)
            return done

        monkeypatch.setattr(where, name, wrapped)


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    folder = fake.short_folder(tmp_path)
    with fake.github(folder) as hub:
        shop = DeliveryHarness(tmp_path, {"a.txt": "a\n"})
        for name, value in hub.environment(shop.remote).items():
            monkeypatch.setenv(name, value)
        shop.step("one", write("one.txt", "1\n"))
        yield Story(shop, hub, monkeypatch)
    shutil.rmtree(folder)


@pytest.mark.parametrize(("action", "point"), sampled(ALL, EACH_RUN))
async def test_whatever_happens_while_more_is_delivered_nothing_is_lost(story: Story, action: str, point: str) -> None:
    await story.deliver()
    assert story.row["pr_url"] == f"{story.hub.url}/pull/1"
    story.shop.step("two", write("two.txt", "2\n"), start="makima/one")
    story.armed = (action, point)
    await story.to_its_end()
    assert story.acted == action
    story.check()
    assert story.acted == action
    if action in ("edit", "push", "merge", "squash", "rebase") and story.acted and point != "before the clean-up":
        assert story.status == "completed", story.reason
        if action != "push":
            assert story.shop.branches() == ["main"], "all that was delivered is in main: nothing is left behind"


@pytest.mark.parametrize(("action", "point"), sampled(FIRST, EACH_RUN))
async def test_whatever_happens_while_it_is_delivered_first_nothing_is_lost(
    story: Story, action: str, point: str
) -> None:
    story.shop.step("two", write("two.txt", "2\n"), start="makima/one")
    story.armed = (action, point)
    await story.to_its_end()
    story.check()
