"""A delivery from its order to its result: merge, prove, check, push, pull request; or verify, or watch one."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from services.daemon.delivery import describing
from services.daemon.delivery.assembling import Assembling
from services.daemon.delivery.checking import Checks, Outcome, culprits
from services.daemon.delivery.proposing import Proposing, RoundOver, branch_of, push_options
from services.daemon.delivery.remote import Remote
from services.daemon.delivery.scripts import RunScript
from services.daemon.delivery.watching import Watching
from services.daemon.forges.client import Client, ForgeFailed, Found
from services.daemon.forges.patience import Patience
from services.daemon.forges.registry import client_of
from services.daemon.git.command import GitError, readable
from services.daemon.git.merging import (
    MergeConflict,
    Tip,
    holds,
    merge_all,
    tree_of,
)
from services.daemon.git.proof import ContentMissing, prove
from services.daemon.git.pushing import PushRefused, PushStale, on_remote, push
from services.daemon.git.resolving import by_hand
from services.daemon.workspaces import repository
from services.daemon.workspaces.resolving import RunAgent, Unresolved
from services.daemon.workspaces.workspace import WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.config import Settings
from shared.domain.delivery import (
    Broken,
    Conflicted,
    Delivered,
    Delivery,
    Nothing,
    PullRequest,
    Result,
)
from shared.domain.descriptions import by_area, filled
from shared.domain.forge import pull_request_url
from shared.domain.names import delivery_branch
from shared.domain.retry import backoff_seconds
from shared.domain.texts import one_line
from shared.messages.commands import SpawnTask

FRESH_SECONDS = 1.0
"""How long what was fetched counts for what the remote has."""
PUSHES = 6
"""How often is merged and pushed again while others push to the same branch."""
OUTPUT_CHARACTERS = 8000

Said = Callable[[str], None]


class Delivering:
    """One delivery on this daemon. `agent` None: a conflict that nobody has resolved before is the result."""

    def __init__(
        self,
        command: SpawnTask,
        settings: Settings,
        workspaces: Workspaces,
        run_script: RunScript,
        said: Said,
        agent: RunAgent | None = None,
        free_slots: Callable[[], int] = lambda: 0,
    ) -> None:
        assert command.delivery is not None
        self._command = command
        self._order: Delivery = command.delivery
        self._settings = settings
        self._workspaces = workspaces
        self._run_script = run_script
        self._said = said
        self._agent = agent
        self._free_slots = free_slots
        self._remote = Remote(command, workspaces)
        self._work = Assembling(command, self._remote, workspaces, self._noted)
        self._notes: list[str] = []
        self._checked = describing.UNCHECKED
        """How the check ended, for the pull request."""
        self._told: str | None = None
        """The pull request that the remote named when it was pushed to."""

    async def carry_out(self) -> Result:
        """Do what was ordered. Raises WorkspaceFailed with the reason, and GitError."""
        try:
            watching = Watching(self._command, self._order, self._remote, self._said)
            match self._order.action:
                case "watch":
                    return await watching.watch(self._client())
                case "verify":
                    return await watching.verify(self._proposing(), self._notes)
                case "deliver":
                    await self._remote.refresh()
                    return await self._deliver()
        except ForgeFailed as error:
            raise WorkspaceFailed(str(error), permanent=not error.passing) from None
        except PushRefused as error:
            raise WorkspaceFailed(str(error), permanent=error.permanent) from None
        except (ContentMissing, Unresolved, repository.RepositoryUnreadable) as error:
            more = f"; by hand: {'; '.join(self._by_hand(error.conflict))}" if isinstance(error, Unresolved) else ""
            raise WorkspaceFailed(f"{error}{more}", permanent=True) from None

    @property
    def _cache(self) -> Path:
        """The daemon's copy of the repository, as it was fetched last."""
        return self._remote.cache

    async def _deliver(self) -> Result:
        order, directive, branch = self._order, self._command.directive, self._command.target_branch
        proposing, wanted = self._proposing(), order.pull_request
        number, target = order.round, branch_of(order, directive, order.round, branch)
        pushed: list[str] = []
        for _ in range(PUSHES):
            if proposing is not None:
                target, number = await proposing.target(order, directive, branch, number)
            outcome = await self._merge_and_push(target)
            if not isinstance(outcome, str):
                return outcome
            pushed.append(outcome)
            url = self._told
            try:
                if proposing is not None and wanted is not None:
                    url = await self._proposed(proposing, target, outcome, wanted)
            except RoundOver as over:
                await self._remote.refresh()
                if over.found.state != "merged" or not await self._is_in(over.found, outcome):
                    self._said(f"{over}: delivering on a branch of its own")
                    continue
                url = over.found.url
            except ForgeFailed:
                if await self._is_on(target, outcome):
                    raise
                continue
            else:
                if not await self._is_on(target, outcome):
                    self._said(f"{target} is gone from the remote: pushing it again")
                    continue
            if order.merge_into_base:
                await self._into_base(outcome)
            return Delivered(
                branch=target,
                head=outcome,
                round=number,
                pr_url=url,
                notes=tuple(self._notes),
                overtaken=tuple(dict.fromkeys(head for head in pushed if head != outcome)),
                removed=await self._without_step_branches(outcome),
            )
        raise PushRefused(f"{target} was merged, closed or removed each of {PUSHES} times that it was pushed", False)

    async def _without_step_branches(self, head: str) -> tuple[str, ...]:
        """Remove the steps' branches that the delivery holds, where no pull request follows; those that are gone."""
        order = self._order
        if not order.remove_branches or order.forge is not None:
            return ()
        branches = [step.branch for step in (*order.earlier, *order.steps)]
        try:
            return await self._remote.without(branches, head)
        except (PushRefused, GitError) as error:
            self._said(f"its steps' branches stay on the remote: {error}")
            return ()

    async def _proposed(self, proposing: Proposing, target: str, head: str, wanted: PullRequest) -> str | None:
        """Have the pull request of what was pushed; its address."""
        self._said("[delivering: seeing to its pull request]")
        base = await self._remote.base()
        files = by_area(await describing.files_of(self._cache, base.commit, head))
        body = filled(wanted.body, self._checked, files)
        kind = self._order.forge.kind if self._order.forge else ""
        template = await describing.template_of(self._cache, base.commit, kind)
        name = await self._remote.base_name()
        return await proposing.see_to(target, name, msgspec.structs.replace(wanted, body=body), template)

    async def _is_in(self, found: Found, delivered: str) -> bool:
        """Whether a pull request that was merged meanwhile was so with what is delivered."""
        if found.head == delivered or await self._remote.in_base(delivered):
            return True
        there = found.head if await self._remote.has(found.head) else None
        return there is not None and await holds(self._cache, there, delivered)

    async def _is_on(self, target: str, delivered: str) -> bool:
        """Whether a branch of the remote holds what was delivered there, or the base branch does."""
        there = (await on_remote(self._cache, [target])).get(target)
        if there is not None and there.commit == delivered:
            return True
        await self._remote.refresh()
        now = (await self._remote.branches()).get(target)
        if now is not None and await holds(self._cache, now, delivered):
            return True
        return await self._remote.in_base(delivered)

    async def _merge_and_push(self, target: str) -> str | Result:
        """The commit that is on the remote's branch now; or what holds it up."""
        for times in range(1, PUSHES + 1):
            looked, base = time.monotonic(), await self._remote.base()
            begin, tips, earlier = await self._work.tips(target)
            branches = "1 branch" if len(tips) == 1 else f"{len(tips)} branches"
            self._said(f"[merging {branches} into {readable(begin.branch)}]")
            try:
                head = await self._work.merge(begin, tips, earlier, self._agent)
            except MergeConflict as conflict:
                step = conflict.tip.step
                return Conflicted(
                    branch=conflict.tip.branch,
                    into=conflict.into,
                    files=tuple(map(readable, conflict.files)),
                    step=step,
                    by_hand=tuple(self._by_hand(conflict)),
                )
            if begin.branch != target and await tree_of(self._cache, head) == await tree_of(self._cache, begin.commit):
                return Nothing(
                    reason=f"nothing changed: {begin.branch} is as the steps leave it, so nothing was delivered"
                )
            if self._order.heads and head == self._order.heads[-1]:
                self._noted("nothing changed since it was delivered last")
            await prove(self._cache, begin, tips, head, self._order.strategy)
            if lacking := await self._work.on_no_remote(begin, head):
                raise ContentMissing(f"nobody could clone what would be delivered: {'; '.join(lacking)}")
            if broken := await self._check(begin, tips, earlier, head):
                return broken
            if time.monotonic() - looked > FRESH_SECONDS and await self._was_rewritten(base):
                if times == PUSHES:
                    raise PushRefused(f"{base.branch} was rewritten each of {PUSHES} times", permanent=False)
                self._said(f"{base.branch} was rewritten meanwhile: merging again")
                continue
            self._said(f"[delivering: pushing {readable(target)}]")
            try:
                said = await push(self._cache, head, target, await self._push_options())
            except PushStale as error:
                if times == PUSHES:
                    raise PushRefused(f"{error}; tried {times} times", permanent=False) from None
                self._said(f"{error}: merging and pushing again")
                await asyncio.sleep(backoff_seconds(1, random.random()) * 0.2 * times)
                await self._remote.refresh()
            else:
                named = pull_request_url(self._order.forge, None, None, said.splitlines())
                self._told = named or self._order.pr_url
                return head
        raise AssertionError("not reached")

    async def _was_rewritten(self, base: Tip) -> bool:
        """Whether the base branch, asked again, does not hold any more what it was."""
        await self._remote.refresh()
        return not await holds(self._cache, (await self._remote.base()).commit, base.commit)

    def _noted(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    async def _check(self, begin: Tip, tips: Sequence[Tip], earlier: Sequence[Tip], head: str) -> Broken | None:
        """Run the repository's check on the merged result; when it fails, find what breaks it."""
        known = await self._workspaces.branches(self._cache)
        base = known.get(self._command.base_branch or "", begin.commit)
        settings = await repository.read(self._cache, base)
        line = settings.check if self._order.check is None else self._order.check
        if not line or not tips:
            self._checked = describing.GONE_WITHOUT if line == "" else self._checked
            return None

        async def run(commit: str) -> Outcome:
            part = commit[:12]
            folder = (await self._workspaces.checkout(self._command, commit, part)).folder
            try:
                if settings.setup:
                    prepared = await self._run_script(settings.setup, folder, part)
                    if not prepared.passed:
                        return prepared
                return await self._run_script(line, folder, part)
            finally:
                await self._workspaces.drop(self._command, part)

        self._said(f"[checking: {one_line(line)}]")
        checks = Checks(run)
        outcome = await checks.of(await tree_of(self._cache, head), head)
        if outcome.passed:
            self._said("[the check passes]")
            self._checked = describing.passed(line)
            return None
        self._said(f"the check fails on the merged result: looking for what breaks it among {len(tips)} steps")

        merging = asyncio.Lock()  # what stops at a conflict is merged in the attempt's one worktree

        async def fails(places: tuple[int, ...]) -> bool:
            try:
                async with merging:
                    commit = await self._work.merge(begin, [tips[p] for p in places], earlier)
            except MergeConflict:
                return False  # without what lies between it can't be judged
            return not (await checks.of(await tree_of(self._cache, commit), commit)).passed

        named = await culprits(len(tips), fails, lambda: 1 + self._free_slots(), lambda: checks.count)
        return Broken(
            steps=tuple(step for p in named if (step := tips[p].step)),
            command=line,
            output=outcome.output[-OUTPUT_CHARACTERS:],
            checks=checks.count,
        )

    async def _into_base(self, head: str) -> None:
        """Merge the delivery into the base branch on the remote."""
        base = await self._remote.base_name()
        for _ in range(PUSHES):
            known = await self._workspaces.branches(self._cache)
            begin = Tip(branch=base, commit=known[base])
            tip = Tip(branch=delivery_branch(self._order.title, self._command.directive), commit=head)
            try:
                merged = await merge_all(self._cache, begin, [tip])
                await push(self._cache, merged, base)
            except PushStale:
                await self._remote.refresh()
            except MergeConflict as conflict:
                raise WorkspaceFailed(
                    f"{conflict}; by hand: {'; '.join(self._by_hand(conflict))}", permanent=True
                ) from None
            else:
                self._noted(f"merged into {base}")
                return
        raise WorkspaceFailed(f"{base} moved on {PUSHES} times while the delivery was merged into it")

    # Pull requests

    def _proposing(self) -> Proposing | None:
        """Who sees to its pull request; None without a forge that can be asked."""
        client = self._client()
        patience = Patience(self._settings.forge_patience_seconds, self._said)
        return Proposing(client, patience, self._noted) if client is not None else None

    def _client(self) -> Client | None:
        forge = self._order.forge
        return client_of(forge, self._workspaces.folder) if forge is not None else None

    async def _push_options(self) -> Sequence[str]:
        wanted, forge = self._order.pull_request, self._order.forge
        if forge is None or forge.kind != "gitlab" or wanted is None or self._client() is not None:
            return ()
        return push_options(wanted, await self._remote.base_name())

    def _by_hand(self, conflict: MergeConflict) -> list[str]:
        return by_hand(self._command, self._order, conflict, self._settings.step_refs)
