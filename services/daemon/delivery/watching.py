"""How a delivery's pull request stands: looked for, looked at, believed, and cleaned up after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from services.daemon.delivery.proposing import Proposing, RoundOver, branch_of
from services.daemon.delivery.remote import Remote
from services.daemon.forges.client import Client, ForgeFailed, Found
from services.daemon.git.command import GitError
from services.daemon.git.merging import holds
from services.daemon.git.pushing import OnRemote, PushRefused, on_remote, remove
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Delivered, Delivery, Nothing, Result, Seen, StepBranch
from shared.domain.forge import number_of
from shared.messages.commands import SpawnTask


class Watching:
    """The pull request of one delivery, after that. Raises ForgeFailed, WorkspaceFailed and GitError."""

    def __init__(self, command: SpawnTask, order: Delivery, remote: Remote, said: Callable[[str], None]) -> None:
        self._command = command
        self._order = order
        self._remote = remote
        self._said = said
        self._branch = command.target_branch or ""

    async def verify(self, proposing: Proposing | None, notes: list[str]) -> Result:
        """Rule 12: the pull request of the branch, made if only the branch is there; else where the work is."""
        wanted = self._order.pull_request
        if proposing is None:
            return Nothing(reason="its forge can't be asked")
        await self._remote.refresh()
        there = await proposing.find(self._branch)
        if not there and not await on_remote(self._remote.cache, [self._branch]):
            return await self._gone()
        base = await self._remote.base_name()
        try:
            url = await proposing.see_to(self._branch, base, wanted) if wanted else None
        except RoundOver as over:
            url = over.found.url  # how it ended is seen when it is looked at
        if url is None:
            return Nothing(reason="; ".join(notes) or "there is nothing to propose")
        return Delivered(branch=self._branch, head="", round=self._order.round, pr_url=url)

    async def _gone(self) -> Nothing:
        what = f"neither a pull request nor the branch {self._branch} is there"
        base = (await self._remote.base()).branch
        if await self._is_in_base():
            return Nothing(reason=f"{what}, and {base} holds the work")
        missing = await self._remote.not_in_base(self._order.steps)
        if not missing:
            return Nothing(reason=f"{what}, and {base} holds what every step did")
        return Nothing(reason=f"{what}, and {base} does not hold the work: it is gone", missing=_ids(missing))

    async def watch(self, client: Client | None) -> Result:
        """How the named pull request stands; once it was merged, whether with the work, and the clean-up."""
        number = number_of(self._order.pr_url or "", self._order.forge)
        if client is None or number is None:
            return Nothing(reason="its forge can't be asked")
        still = Seen(state="open", etag=self._order.etag)
        try:
            found = await client.look(number, self._order.etag)
        except ForgeFailed as error:
            if not error.passing:
                raise
            self._said(f"{error}: looked at again later")
            return still
        if found is None:
            return still
        if self._branch and not (found.own and found.branch == self._branch):
            whose = found.branch if found.own else "a copy of the repository"
            reason = f"{found.url} is a pull request of {whose}, not of {self._branch}"
            return Nothing(reason=reason, not_ours=True)
        if found.state != "merged":
            return Seen(state=found.state, etag=found.etag)
        try:
            await self._remote.refresh()
        except WorkspaceFailed as error:
            if self._delivered is None or found.head == self._delivered:
                return _merged(found, notes=(f"its branches stay on the remote: {error}",))
            self._said(f"whether {found.url} was merged with the work can't be seen: {error}: looked at again later")
            return still
        return await self._judged(found)

    async def _judged(self, found: Found) -> Seen:
        """A merged pull request is believed when it, or the base branch, holds what was delivered."""
        in_base = await self._is_in_base()
        believed = in_base or await self._is_in(found)
        if not believed and (missing := await self._remote.not_in_base(self._order.steps)):
            return Seen(state="merged", etag=found.etag, missing=_ids(missing))
        if not self._order.remove_branches:
            return _merged(found)
        notes: list[str] = []
        return _merged(found, await self._clean_up(notes, in_base), notes)

    @property
    def _delivered(self) -> str | None:
        return self._order.heads[-1] if self._order.heads else None

    async def _is_in_base(self) -> bool:
        return await self._remote.in_base(self._delivered)

    async def _is_in(self, found: Found) -> bool:
        """Whether the head that was merged holds what was delivered; what nobody knows of is believed."""
        if self._delivered is None or found.head == self._delivered:
            return True
        if not (await self._remote.has(self._delivered) and await self._remote.has(found.head)):
            return False
        return await holds(self._remote.cache, found.head or "", self._delivered)

    async def _clean_up(self, notes: list[str], in_base: bool) -> tuple[str, ...]:
        """Remove the directive's branches from the remote that the base branch holds; those that are gone now.

        What is removed was delivered, or is a commit of the base branch itself; and only if it is still there.
        """
        steps = {s.branch: s for s in (*self._order.earlier, *self._order.steps)}
        first, directive = self._command.target_branch, self._command.directive
        rounds = [branch_of(self._order, directive, n, first) for n in range(1, self._order.round + 1)]
        branches = [*steps, *rounds]
        try:
            there = await on_remote(self._remote.cache, branches)
            base = await self._remote.base()
            going = []
            for branch, one in there.items():
                if await self._may_go(one, steps.get(branch), in_base):
                    going.append(one)
                else:
                    notes.append(f"{branch} stays on the remote: {base.branch} does not hold its {one.commit[:12]}")
            if going:
                await remove(self._remote.cache, going)
                there = await on_remote(self._remote.cache, branches)
        except (PushRefused, GitError) as error:
            notes.append(f"its branches stay on the remote: {error}")
            return ()
        return tuple(b for b in branches if b not in there)

    async def _may_go(self, one: OnRemote, step: StepBranch | None, in_base: bool) -> bool:
        base = (await self._remote.base()).commit
        if not await self._remote.has(one.commit):
            return False  # pushed a moment ago
        if await holds(self._remote.cache, base, one.commit):
            return True
        if in_base and self._delivered and await holds(self._remote.cache, self._delivered, one.commit):
            return True
        ours = one.commit == step.head if step is not None else one.commit in self._order.heads
        return ours and await self._remote.in_base(one.commit)


def _merged(found: Found, removed: tuple[str, ...] = (), notes: Iterable[str] = ()) -> Seen:
    return Seen(state="merged", etag=found.etag, removed=removed, notes=tuple(notes))


def _ids(steps: Iterable[StepBranch]) -> tuple[UUID, ...]:
    return tuple(step.id for step in steps)
