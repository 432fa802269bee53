"""A delivery from its order to its result: merge, prove, check, push, pull request; or verify, or watch one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from services.daemon.delivery.checking import Checks, Outcome, culprits
from services.daemon.delivery.proposing import Proposing, branch_of, push_options
from services.daemon.delivery.scripts import RunScript
from services.daemon.forges.client import Client, ForgeFailed
from services.daemon.forges.patience import Patience
from services.daemon.forges.registry import client_of
from services.daemon.git.command import GitError, git, readable
from services.daemon.git.merging import (
    MergeConflict,
    Tip,
    commit_tree,
    merge_all,
    merge_base_of_squashed,
    tree_of,
)
from services.daemon.git.proof import ContentMissing, prove
from services.daemon.git.pushing import PushRefused, PushStale, on_remote, push, remove
from services.daemon.git.resolving import Resolver, RunAgent, Unresolved, by_hand
from services.daemon.workspaces import repository
from services.daemon.workspaces.caches import base_among, refuse_missing
from services.daemon.workspaces.workspace import WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.config import Settings
from shared.domain.delivery import (
    Broken,
    Conflicted,
    Delivered,
    Delivery,
    Nothing,
    PullRequestState,
    Result,
    Seen,
    StepBranch,
)
from shared.domain.forge import number_of, pull_request_url
from shared.domain.names import delivery_branch
from shared.domain.retry import backoff_seconds
from shared.messages.commands import SpawnTask

PUSHES = 6
"""How often is merged and pushed again while others push to the same branch."""
OUTPUT_LETTERS = 8000
ATTRIBUTES = "attributes"

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
        self._cache = Path()
        self._notes: list[str] = []
        self._told: str | None = None
        """The pull request that the remote named when it was pushed to."""

    async def carry_out(self) -> Result:
        """Do what was ordered. Raises WorkspaceFailed with the reason, and GitError."""
        try:
            if self._order.action == "watch":
                return await self._watch()
            self._cache = await self._workspaces.repository(self._command)
            if self._order.action == "verify":
                return await self._verify()
            return await self._deliver()
        except ForgeFailed as error:
            raise WorkspaceFailed(str(error), permanent=not error.passing) from None
        except PushRefused as error:
            raise WorkspaceFailed(str(error), permanent=error.permanent) from None
        except (ContentMissing, Unresolved, repository.RepositoryUnreadable) as error:
            more = f"; by hand: {'; '.join(self._by_hand(error.conflict))}" if isinstance(error, Unresolved) else ""
            raise WorkspaceFailed(f"{error}{more}", permanent=True) from None

    async def _deliver(self) -> Result:
        order, directive, branch = self._order, self._command.directive, self._command.target_branch
        proposing, found = self._proposing(), None
        if proposing is not None:
            target, number, found = await proposing.target(order, directive, branch)
        else:
            target, number = branch_of(order, directive, order.round, branch), order.round
        outcome = await self._merge_and_push(target)
        if not isinstance(outcome, str):
            return outcome
        url, wanted = self._told, order.pull_request
        if proposing is not None and wanted is not None and found is not None:
            url = await proposing.refresh(found, wanted)
        elif proposing is not None:
            url = await proposing.propose(target, await self._base(), wanted) if wanted is not None else None
        if order.merge_into_base:
            await self._into_base(outcome)
        return Delivered(branch=target, head=outcome, round=number, pr_url=url, notes=tuple(self._notes))

    async def _merge_and_push(self, target: str) -> str | Result:
        """The commit that is on the remote's branch now; or what holds it up."""
        for times in range(1, PUSHES + 1):
            begin, tips, earlier = await self._tips(target)
            try:
                head = await self._merge(begin, tips, earlier, self._agent)
            except MergeConflict as conflict:
                step = conflict.tip.step
                return Conflicted(
                    branch=conflict.tip.branch,
                    into=conflict.into,
                    files=tuple(map(readable, conflict.files)),
                    step=step,
                    by_hand=tuple(self._by_hand(conflict)),
                )
            await prove(self._cache, begin, tips, head, self._order.strategy)
            if broken := await self._check(begin, tips, earlier, head):
                return broken
            try:
                said = await push(self._cache, head, target, await self._push_options())
            except PushStale as error:
                if times == PUSHES:
                    raise PushRefused(f"{error}; tried {times} times", permanent=False) from None
                self._said(f"{error}: merging and pushing again")
                await asyncio.sleep(backoff_seconds(1, random.random()) * 0.2 * times)
                self._cache = await self._workspaces.repository(self._command)
            else:
                named = pull_request_url(self._order.forge, None, None, said.splitlines())
                self._told = named or self._order.pr_url
                return head
        raise AssertionError("not reached")

    async def _tips(self, target: str) -> tuple[Tip, list[Tip], list[Tip]]:
        """Where the merge begins, what it merges, and what was squashed into its beginning before."""
        known = await self._workspaces.branches(self._cache)
        if target in known:
            begin = Tip(branch=target, commit=known[target])
        else:
            begin = base_among(known, self._command.base_branch)
        tips, missing = await self._steps(self._order.steps, known)
        refuse_missing(missing)
        earlier, _ = await self._steps(self._order.earlier, known)
        return begin, tips, earlier

    async def _steps(self, steps: Sequence[StepBranch], known: dict[str, str]) -> tuple[list[Tip], list[str]]:
        """Each step at its branch, or where that is gone, at the commit that it ended with; and the missing ones."""
        tips, missing = [], []
        heads = [s.head for s in steps if s.branch not in known and s.head]
        here = await self._workspaces.have(self._cache, heads)
        for step in steps:
            commit = known.get(step.branch) or (step.head if step.head in here else None)
            if commit:
                tips.append(Tip(branch=step.branch, commit=commit, step=step.id, name=step.name))
            else:
                missing.append(step.branch)
        return tips, missing

    async def _merge(
        self, begin: Tip, tips: Sequence[Tip], earlier: Sequence[Tip], agent: RunAgent | None = None
    ) -> str:
        resolver = Resolver(self._cache, self._checkout, agent)
        where = await self._with_attributes(begin)
        if self._order.strategy == "squash":
            start = await merge_base_of_squashed(self._cache, begin, earlier)
            head = await merge_all(where, start, tips, "squash", resolver, self._noted)
            return begin.commit if head == start.commit else await self._grafted(start, begin, head)
        return await merge_all(where, begin, tips, "merge", resolver, self._noted)

    def _noted(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    async def _with_attributes(self, begin: Tip) -> Path:
        """Where to merge so that the attributes count which say how files are merged, as the beginning has them.

        git looks for them in the files of a worktree: there is one that holds nothing else, where there are any.
        """
        attributes = ":(glob)**/.gitattributes"
        try:
            await git(self._cache, "grep", "--quiet", "-E", "merge|binary", begin.commit, "--", attributes)
        except GitError as error:
            if error.code != 1:
                raise
            return self._cache
        return await self._workspaces.checkout_only(self._command, begin.commit, attributes, ATTRIBUTES)

    async def _grafted(self, start: Tip, begin: Tip, head: str) -> str:
        """The commits on `start` made anew on `begin`, which has the same tree."""
        if start.commit == begin.commit:
            return head
        commits = (await git(self._cache, "rev-list", "--reverse", "--first-parent", head, f"^{start.commit}")).split()
        parent = begin.commit
        for commit in commits:
            message = await git(self._cache, "log", "-1", "--format=%B", commit)
            parent = await commit_tree(self._cache, await tree_of(self._cache, commit), (parent,), message)
        return parent

    async def _checkout(self, commit: str) -> Path:
        return await self._workspaces.checkout(self._command, commit)

    async def _check(self, begin: Tip, tips: Sequence[Tip], earlier: Sequence[Tip], head: str) -> Broken | None:
        """Run the repository's check on the merged result; when it fails, find what breaks it."""
        known = await self._workspaces.branches(self._cache)
        base = known.get(self._command.base_branch or "", begin.commit)
        settings = await repository.read(self._cache, base)
        line = self._order.check or settings.check
        if not line or not tips:
            return None

        async def run(commit: str) -> Outcome:
            part = commit[:12]
            folder = await self._workspaces.checkout(self._command, commit, part)
            try:
                if settings.setup:
                    prepared = await self._run_script(settings.setup, folder, part)
                    if not prepared.passed:
                        return prepared
                return await self._run_script(line, folder, part)
            finally:
                await self._workspaces.drop(self._command, part)

        checks = Checks(run)
        outcome = await checks.of(await tree_of(self._cache, head), head)
        if outcome.passed:
            return None
        self._said(f"the check fails on the merged result: looking for what breaks it among {len(tips)} steps")

        merging = asyncio.Lock()  # what stops at a conflict is merged in the attempt's one worktree

        async def fails(places: tuple[int, ...]) -> bool:
            try:
                async with merging:
                    commit = await self._merge(begin, [tips[p] for p in places], earlier)
            except MergeConflict:
                return False  # without what lies between it can't be judged
            return not (await checks.of(await tree_of(self._cache, commit), commit)).passed

        named = await culprits(len(tips), fails, lambda: 1 + self._free_slots(), lambda: checks.count)
        return Broken(
            steps=tuple(step for p in named if (step := tips[p].step)),
            command=line,
            output=outcome.output[-OUTPUT_LETTERS:],
            checks=checks.count,
        )

    async def _into_base(self, head: str) -> None:
        """Merge the delivery into the base branch on the remote."""
        base = await self._base()
        for _ in range(PUSHES):
            known = await self._workspaces.branches(self._cache)
            begin = Tip(branch=base, commit=known[base])
            tip = Tip(branch=delivery_branch(self._order.title, self._command.directive), commit=head)
            try:
                merged = await merge_all(self._cache, begin, [tip])
                await push(self._cache, merged, base)
            except PushStale:
                self._cache = await self._workspaces.repository(self._command)
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

    async def _verify(self) -> Result:
        """Rule 12: the pull request of the branch, made if only the branch is there."""
        proposing, wanted = self._proposing(), self._order.pull_request
        branch = self._command.target_branch or ""
        if proposing is None:
            return Nothing(reason="its forge can't be asked")
        there = await proposing.find(branch)
        if there:
            return Delivered(branch=branch, head="", round=self._order.round, pr_url=there[0].url)
        if not await on_remote(self._cache, [branch]):
            return Nothing(reason=f"neither a pull request nor the branch {branch} is there: the work was merged")
        url = await proposing.propose(branch, await self._base(), wanted) if wanted else None
        if url is None:
            return Nothing(reason="; ".join(self._notes) or "there is nothing to propose")
        return Delivered(branch=branch, head="", round=self._order.round, pr_url=url)

    async def _watch(self) -> Result:
        client = self._client()
        number = number_of(self._order.pr_url or "", self._order.forge)
        if client is None or number is None:
            return Nothing(reason="its forge can't be asked")
        try:
            found = await client.look(number, self._order.etag)
        except ForgeFailed as error:
            if not error.passing:
                raise
            self._said(f"{error}: looked at again later")
            return Seen(state="open", etag=self._order.etag)
        if found is None:
            return Seen(state="open", etag=self._order.etag)
        removed = await self._clean_up(found.state) if found.state != "open" and self._order.remove_branches else ()
        return Seen(state=found.state, etag=found.etag, removed=removed, notes=tuple(self._notes))

    async def _clean_up(self, state: PullRequestState) -> tuple[str, ...]:
        """Remove the branches from the remote that nobody needs once its pull request is over; those removed.

        When it was closed, its work may be delivered again: its own branch stays, which holds the steps' commits, and
        where it holds them only squashed, theirs stay.
        """
        branches = [s.branch for s in (*self._order.earlier, *self._order.steps)]
        if state == "closed" and self._order.strategy == "squash":
            return ()
        if state == "merged" and self._command.target_branch:
            branches.append(self._command.target_branch)
        try:
            self._cache = await self._workspaces.repository_as_it_is(self._command)
            return await remove(self._cache, branches)
        except (PushRefused, GitError, WorkspaceFailed) as error:
            self._notes.append(f"its branches stay on the remote: {error}")
            return ()

    async def _push_options(self) -> Sequence[str]:
        wanted, forge = self._order.pull_request, self._order.forge
        if forge is None or forge.kind != "gitlab" or wanted is None or self._client() is not None:
            return ()
        return push_options(wanted, await self._base())

    async def _base(self) -> str:
        """The name of the base branch. Raises WorkspaceFailed when the remote's HEAD names none."""
        if self._command.base_branch is not None:
            return self._command.base_branch
        out = await git(self._cache, "ls-remote", "--symref", "origin", "HEAD")
        for line in out.splitlines():
            if line.startswith("ref: refs/heads/"):
                return line.removeprefix("ref: refs/heads/").partition("\t")[0]
        raise WorkspaceFailed("the remote's HEAD names no branch: give the directive --base", permanent=True)

    def _by_hand(self, conflict: MergeConflict) -> list[str]:
        return by_hand(self._command, self._order, conflict, self._settings.step_refs)
