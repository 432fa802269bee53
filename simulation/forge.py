"""A stand-in for a remote and its forge: what branches, the base and pull requests hold, and people who meddle.

Work is known by the name of the branch that its attempt wrote; a commit is the set of what it holds.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from services.daemon.delivery.proposing import branch_of
from shared.domain.delivery import Delivered, Delivery, Nothing, Result, Seen, StepBranch
from shared.domain.forge import number_of
from shared.messages.commands import SpawnTask

HOST = "forge.sim"
URL = f"http://{HOST}/acme/shop"
MERGES = ("merge", "merge", "merge in part")
DEEDS = (*MERGES, "close", "remove", "push")
Work = frozenset[str]
State = Literal["open", "merged", "closed"]


@dataclass
class Pull:
    """A pull request. `holds` is what its branch held when it was merged or closed."""

    number: int
    branch: str
    state: State = "open"
    holds: Work = frozenset()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{URL}/pulls/{self.number}"


@dataclass
class Forge:
    """What is on the remote, and all that was ever pushed to it."""

    base: Work = frozenset()
    branches: dict[str, Work] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    commits: dict[str, Work] = field(default_factory=dict)
    by_hand: set[str] = field(default_factory=set)

    def of(self, branch: str) -> list[Pull]:
        """The pull requests of a branch, newest first."""
        return [p for p in reversed(self.pulls) if p.branch == branch]

    def opened(self) -> list[Pull]:
        """The open ones."""
        return [p for p in self.pulls if p.state == "open"]

    def end(self, pull: Pull, state: State) -> None:
        """Merge or close one."""
        pull.state, pull.holds = state, self.branches.get(pull.branch, frozenset())
        if state == "merged":
            self.base |= pull.holds

    def delete(self, branch: str) -> None:
        """Remove a branch; its pull request is closed by that."""
        for pull in self.of(branch):
            if pull.state == "open":
                self.end(pull, "closed")
        self.branches.pop(branch, None)

    def everywhere(self) -> Work:
        """All that is on a branch or in the base."""
        return self.base.union(*self.branches.values())

    def commit(self, work: Work) -> str:
        """The id of a commit that holds this."""
        name = hashlib.sha1("\n".join(sorted(work)).encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = work
        return name


class Delivering:
    """Deliveries and looks as a daemon makes them, in steps between which time passes."""

    def __init__(self, forge: Forge, rng: Random) -> None:
        self.forge, self._rng = forge, rng

    async def carry_out(self, command: SpawnTask) -> Result:
        """Do what was ordered."""
        order = command.delivery
        assert order is not None
        if order.forge is None:
            return Delivered(branch=command.target_branch or "", head="0" * 40)
        await self._passes()
        if order.action == "watch":
            return await self._watch(command, order)
        if order.action == "verify":
            return await self._verify(command, order)
        return await self._deliver(command, order)

    async def _deliver(self, command: SpawnTask, order: Delivery) -> Result:
        forge, number = self.forge, order.round
        overtaken: list[str] = []
        while True:
            target = branch_of(order, command.directive, number, command.target_branch)
            there = forge.of(target)
            if there and all(p.state != "open" for p in there):
                number += 1
                continue
            begin = forge.branches.get(target)
            work = _held(order.steps) | (begin if begin is not None else forge.base)
            if begin is None:
                work |= _held(order.earlier) - forge.base
            await self._passes()  # the check
            if forge.branches.get(target) != begin:
                continue  # somebody pushed: the lease is lost
            forge.branches[target] = work
            head = forge.commit(work)
            await self._passes()
            there = forge.of(target)
            over = there[0] if there and there[0].state != "open" else None
            if over is not None and not (over.state == "merged" and (work <= over.holds or work <= forge.base)):
                overtaken.append(head)
                continue
            if not work <= forge.branches.get(target, frozenset()) | forge.base:
                continue  # somebody removed it
            if not there:
                forge.pulls.append(Pull(len(forge.pulls) + 1, target))
            url = forge.of(target)[0].url
            return Delivered(branch=target, head=head, round=number, pr_url=url, overtaken=tuple(overtaken))

    async def _verify(self, command: SpawnTask, order: Delivery) -> Result:
        forge, target = self.forge, command.target_branch or ""
        if not forge.of(target):
            if target not in forge.branches:
                lost = tuple(s.id for s in order.steps if s.branch not in forge.base)
                return Nothing(reason="neither is there", missing=lost)
            forge.pulls.append(Pull(len(forge.pulls) + 1, target))
        return Delivered(branch=target, head="", round=order.round, pr_url=forge.of(target)[0].url)

    async def _watch(self, command: SpawnTask, order: Delivery) -> Result:
        forge, number = self.forge, number_of(order.pr_url or "", order.forge)
        assert number is not None
        pull, etag = forge.pulls[number - 1], f"{asyncio.get_running_loop().time()}"
        if pull.branch != command.target_branch:
            return Nothing(reason="it is another branch's", not_ours=True)
        if pull.state != "merged":
            return Seen(state=pull.state, etag=etag)
        await self._passes()
        delivered = forge.commits[order.heads[-1]]
        believed = delivered <= forge.base or delivered <= pull.holds
        if not believed and (missing := tuple(s.id for s in order.steps if s.branch not in forge.base)):
            return Seen(state="merged", etag=etag, missing=missing)
        rounds = [branch_of(order, command.directive, n, command.target_branch) for n in range(1, order.round + 1)]
        branches = [*(s.branch for s in order.steps), *rounds]
        for branch in branches:
            if forge.branches.get(branch, frozenset()) <= forge.base:
                forge.branches.pop(branch, None)
        return Seen(state="merged", etag=etag, removed=tuple(b for b in branches if b not in forge.branches))

    async def _passes(self) -> None:
        await asyncio.sleep(self._rng.expovariate(1 / 4))


class Hand:
    """People on the forge, for as long as the faults last; after that they merge what is open."""

    def __init__(self, forge: Forge, rng: Random, until: float) -> None:
        self._forge, self._rng, self._until = forge, rng, until

    async def meddle(self) -> None:
        """For ever."""
        forge, rng, loop = self._forge, self._rng, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(rng.expovariate(1 / 3))
            deliveries = sorted(b for b in forge.branches if b.startswith("makima/directive-"))
            opened = forge.opened()
            deed = rng.choice(DEEDS if loop.time() < self._until else MERGES)
            if deed == "push" and deliveries:
                mark, branch = f"by hand {len(forge.by_hand)}", rng.choice(deliveries)
                forge.by_hand.add(mark)
                forge.branches[branch] |= {mark}
            elif deed == "remove" and deliveries:
                branch = rng.choice(deliveries)
                forge.by_hand -= forge.branches[branch] - forge.base  # a person's own to lose
                forge.delete(branch)
            elif deed == "merge in part" and opened:
                pull = rng.choice(opened)
                some = sorted(forge.branches[pull.branch] - forge.by_hand - forge.base)
                forge.branches[pull.branch] -= frozenset(rng.sample(some, min(1, len(some))))
                forge.end(pull, "merged")
            elif deed in ("merge", "close") and opened:
                forge.end(rng.choice(opened), "merged" if deed == "merge" else "closed")


def _held(steps: tuple[StepBranch, ...]) -> Work:
    return frozenset(s.branch for s in steps)
