"""A delivery from its order to its result: merge, prove, check, push, pull request; or verify, or watch one."""

from __future__ import annotations

import asyncio
import random
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from services.daemon import repository
from services.daemon.delivery import scripts
from services.daemon.delivery.checking import Checks, Outcome, culprits
from services.daemon.delivery.merging import (
    MergeConflict,
    Tip,
    commit_tree,
    merge_all,
    merge_base_of_squashed,
    tree_of,
)
from services.daemon.delivery.proof import ContentMissing, prove
from services.daemon.delivery.pushing import PushRefused, PushStale, on_remote, push, remove
from services.daemon.delivery.resolving import Resolver, RunAgent, Unresolved
from services.daemon.forges.client import Client, ForgeFailed, Found, NothingToPropose, one_line
from services.daemon.forges.registry import client_of
from services.daemon.git import GitError, git, readable
from services.daemon.workspaces import WorkspaceFailed, Workspaces
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
from shared.domain.descriptions import marked, refreshed
from shared.domain.forge import number_of, pull_request_url
from shared.domain.names import delivery_branch
from shared.domain.retry import backoff_seconds
from shared.messages.commands import SpawnTask

PUSHES = 6
"""How often is merged and pushed again while others push to the same branch."""
ROUNDS_LOOKED_THROUGH = 100
OUTPUT_LETTERS = 8000
ATTRIBUTES = "attributes"
REMOTE_HEAD = "the remote's HEAD"

T = TypeVar("T")
Said = Callable[[str], None]


class Delivering:
    """One delivery on this daemon. `agent` None: a conflict that nobody has resolved before is the result."""

    def __init__(
        self,
        command: SpawnTask,
        settings: Settings,
        workspaces: Workspaces,
        said: Said,
        agent: RunAgent | None = None,
        free_slots: Callable[[], int] = lambda: 0,
    ) -> None:
        assert command.delivery is not None
        self._command = command
        self._order: Delivery = command.delivery
        self._settings = settings
        self._workspaces = workspaces
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
        client = self._client()
        target, number, found = await self._target(client)
        outcome = await self._merge_and_push(target)
        if not isinstance(outcome, str):
            return outcome
        url = await self._pull_request(client, target, found) if client else self._told
        if self._order.merge_into_base:
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
        base = self._command.base_branch
        if target in known:
            begin = Tip(branch=target, commit=known[target])
        elif base is not None and base not in known:
            raise WorkspaceFailed(f"the base branch {base!r} doesn't exist on the remote", permanent=True)
        elif base is not None:
            begin = Tip(branch=base, commit=known[base])
        else:
            begin = Tip(branch=REMOTE_HEAD, commit=known[""])
        tips, missing = await self._steps(self._order.steps, known)
        if missing:
            raise WorkspaceFailed(f"to be merged, but not on the remote: {', '.join(missing)}", permanent=True)
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
                    prepared = await scripts.run(settings.setup, folder, self._command, self._settings.tool_seconds)
                    if not prepared.passed:
                        return prepared
                return await scripts.run(line, folder, self._command, self._settings.tool_seconds)
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
                self._notes.append(f"merged into {base}")
                return
        raise WorkspaceFailed(f"{base} moved on {PUSHES} times while the delivery was merged into it")

    # Pull requests

    def _client(self) -> Client | None:
        forge = self._order.forge
        return client_of(forge, self._workspaces.folder) if forge is not None else None

    async def _target(self, client: Client | None) -> tuple[str, int, Found | None]:
        """The branch to deliver on, which pull request of the directive that is, and it, where it is open."""
        number = self._order.round
        while number < self._order.round + ROUNDS_LOOKED_THROUGH:
            branch = delivery_branch(self._order.title, self._command.directive, number)
            if number == self._order.round and self._command.target_branch:
                branch = self._command.target_branch
            if client is None:
                return branch, number, None
            there = await self._patiently(lambda b=branch: client.find(b))  # type: ignore[misc]
            opened = next((f for f in there if f.state == "open"), None)
            if opened is not None or not there:
                return branch, number, opened
            newest = there[0]
            self._notes.append(f"{newest.url} was {newest.state} meanwhile: the new work is in a new pull request")
            number += 1
        raise WorkspaceFailed(f"{ROUNDS_LOOKED_THROUGH} pull requests of this directive are over", permanent=True)

    async def _pull_request(self, client: Client, branch: str, found: Found | None) -> str | None:
        """The address of the branch's pull request, made or refreshed; None when there is nothing to propose."""
        wanted = self._order.pull_request
        if wanted is None:
            return None
        if found is not None:
            if (body := refreshed(found.body, wanted.body)) != found.body.replace("\r\n", "\n"):
                await self._patiently(lambda: client.update(found, body))
            return found.url
        base = await self._base()
        try:
            made = await self._patiently(lambda: self._create(client, branch, base))
        except NothingToPropose as error:
            self._notes.append(f"no pull request: {error}")
            return None
        try:
            await self._patiently(lambda: client.adorn(made, wanted))
        except ForgeFailed as error:
            self._notes.append(f"not all of its labels and reviewers: {error}")
        return made.url

    async def _create(self, client: Client, branch: str, base: str) -> Found:
        """Make the pull request, unless it is there: an answer that was lost may have made it."""
        assert self._order.pull_request is not None
        there = next((f for f in await client.find(branch) if f.state == "open"), None)
        if there is not None:
            return there
        return await client.create(branch, base, self._order.pull_request, marked(self._order.pull_request.body))

    async def _verify(self) -> Result:
        """Rule 12: the pull request of the branch, made if only the branch is there."""
        client = self._client()
        branch = self._command.target_branch or ""
        if client is None:
            return Nothing(reason="its forge can't be asked")
        there = await self._patiently(lambda: client.find(branch))
        if there:
            return Delivered(branch=branch, head="", round=self._order.round, pr_url=there[0].url)
        if not await on_remote(self._cache, [branch]):
            return Nothing(reason=f"neither a pull request nor the branch {branch} is there: the work was merged")
        url = await self._pull_request(client, branch, None)
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
        """What tells a GitLab that can't be asked to make the merge request. No line breaks, so no text but a title."""
        wanted, forge = self._order.pull_request, self._order.forge
        if forge is None or forge.kind != "gitlab" or wanted is None or self._client() is not None:
            return ()
        draft = ("merge_request.draft",) if wanted.draft else ()
        labels = (f"merge_request.label={one_line(label, 200)}" for label in wanted.labels)
        title = one_line(wanted.title, 255)
        target = f"merge_request.target={await self._base()}"
        return ("merge_request.create", target, f"merge_request.title={title}", *draft, *labels)

    async def _base(self) -> str:
        """The name of the base branch. Raises WorkspaceFailed when the remote's HEAD names none."""
        if self._command.base_branch is not None:
            return self._command.base_branch
        out = await git(self._cache, "ls-remote", "--symref", "origin", "HEAD")
        for line in out.splitlines():
            if line.startswith("ref: refs/heads/"):
                return line.removeprefix("ref: refs/heads/").partition("\t")[0]
        raise WorkspaceFailed("the remote's HEAD names no branch: give the directive --base", permanent=True)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask a forge again while what stands against it passes, for `forge_patience_seconds` in all."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.forge_patience_seconds
        failures = 0
        while True:
            try:
                return await ask()
            except ForgeFailed as error:
                failures += 1
                seconds = error.wait_seconds or backoff_seconds(failures, random.random())
                if not error.passing or loop.time() + seconds > deadline:
                    raise
                self._said(f"{error}: asked again in {seconds:.0f} s")
                await asyncio.sleep(seconds)

    def _by_hand(self, conflict: MergeConflict) -> list[str]:
        """The commands that resolve a conflict in a clone of the repository."""
        target = self._command.target_branch or delivery_branch(self._order.title, self._command.directive)
        start = "HEAD" if conflict.into == REMOTE_HEAD else conflict.into
        branches = [step.branch for step in self._order.steps]
        here = branches.index(conflict.tip.branch) if conflict.tip.branch in branches else -1
        merges = [*branches[: here + 1]] or [conflict.tip.branch]
        steps_too = shlex.join(("git", "fetch", "origin", "refs/makima/*:refs/remotes/origin/makima/*"))
        outside = [steps_too] if self._settings.step_refs == "refs/makima" else []
        return [
            "git fetch origin",
            *outside,
            shlex.join(("git", "fetch", "origin", start)),
            shlex.join(("git", "switch", "-C", target, "FETCH_HEAD")),
            *(shlex.join(("git", "merge", f"origin/{branch}")) for branch in merges),
            "# resolve, git add, git commit",
            shlex.join(("git", "push", "origin", target)),
            shlex.join(("makima", "directive", "resume", str(self._command.directive))),
        ]
