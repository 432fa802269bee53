"""A delivery's remote as its daemon knows it: its branches, its base branch, and what that holds already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from services.daemon.git.command import git, readable
from services.daemon.git.containment import contains, outside, transplanted
from services.daemon.git.merging import Tip, holds
from services.daemon.git.pushing import on_remote, remove
from services.daemon.workspaces.caches import base_among
from services.daemon.workspaces.workspace import WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.delivery import StepBranch
from shared.messages.commands import SpawnTask


class Remote:
    """The remote of one directive, by a daemon's cache of it, which `refresh` brings up to date."""

    def __init__(self, command: SpawnTask, workspaces: Workspaces) -> None:
        self._command = command
        self._workspaces = workspaces
        self.cache = Path()

    async def refresh(self) -> Path:
        """Fetch; the cache. Raises WorkspaceFailed."""
        self.cache = await self._workspaces.repository(self._command)
        return self.cache

    async def branches(self) -> dict[str, str]:
        """The commits of the remote's branches when it was fetched last; under "" that of its HEAD."""
        return await self._workspaces.branches(self.cache)

    async def base(self) -> Tip:
        """The base branch. Raises WorkspaceFailed when it is not there."""
        return base_among(await self.branches(), self._command.base_branch)

    async def base_name(self) -> str:
        """The name of the base branch. Raises WorkspaceFailed when the remote's HEAD names none."""
        if self._command.base_branch is not None:
            return self._command.base_branch
        out = await git(self.cache, "ls-remote", "--symref", "origin", "HEAD")
        for line in out.splitlines():
            if line.startswith("ref: refs/heads/"):
                return line.removeprefix("ref: refs/heads/").partition("\t")[0]
        raise WorkspaceFailed("the remote's HEAD names no branch: give the directive --base", permanent=True)

    async def has(self, commit: str | None) -> bool:
        """Whether a commit is known here."""
        return bool(commit) and commit in await self._workspaces.have(self.cache, (commit or "",))

    async def in_base(self, commit: str | None) -> bool:
        """Whether the base branch holds a commit, as an ancestor or by its content. What nobody has is not there."""
        if commit is None or not await self.has(commit):
            return False
        return await contains(self.cache, (await self.base()).commit, commit)

    async def not_in_base(self, steps: Iterable[StepBranch]) -> list[StepBranch]:
        """Those of the steps whose work the base branch does not hold."""
        base = (await self.base()).commit
        asked = list(steps)
        here = await self._workspaces.have(self.cache, {s.head for s in asked if s.head})
        apart = await outside(self.cache, base, here)
        lacking = {head for head in apart if not await contains(self.cache, base, head)}
        return [s for s in asked if s.head is None or s.head not in here or s.head in lacking]

    async def without(self, branches: Sequence[str], head: str) -> tuple[str, ...]:
        """Remove those branches from the remote that a commit holds, as they stand there now; all that are gone.

        Raises PushRefused and GitError.
        """
        there = await on_remote(self.cache, branches)
        held = [
            one for one in there.values() if await self.has(one.commit) and await holds(self.cache, head, one.commit)
        ]
        if held:
            await remove(self.cache, held)
            there = await on_remote(self.cache, branches)
        return tuple(branch for branch in branches if branch not in there)

    async def left_behind(self, steps: Iterable[StepBranch]) -> list[str]:
        """What the steps were built on and the base branch holds no more, since somebody rewrote it."""
        base = (await self.base()).commit
        known = {s.base for s in steps if s.base}
        here = await self._workspaces.have(self.cache, known)
        return [commit for commit in sorted(here) if not await holds(self.cache, base, commit)]

    async def refuse_left_behind(self, begin: Tip, old: Sequence[str]) -> None:
        """Raise WorkspaceFailed for a branch that still holds what was removed from the base branch."""
        for commit in old:
            if await holds(self.cache, begin.commit, commit):
                base = (await self.base()).branch
                raise WorkspaceFailed(
                    f"{base} was rewritten (force-pushed), and {begin.branch}, which was delivered before that, still "
                    f"holds what was removed from it: close its pull request or remove the branch, then `makima "
                    f"directive resume {self._command.directive}`: the work is rebuilt on the new {base}",
                    permanent=True,
                )

    async def rebuilt(self, tips: Sequence[Tip], old: Sequence[str]) -> list[Tip]:
        """Tips on a base branch that was rewritten since: what they change, on the new one. What descends from another
        tip does so again. Raises WorkspaceFailed where that needs judgement."""
        base = await self.base()
        anew: list[tuple[Tip, str]] = []
        for tip in tips:
            begun = [commit for commit in old if await holds(self.cache, tip.commit, commit)]
            if not begun:
                anew.append((tip, tip.commit))
                continue
            out = await git(self.cache, "merge-base", "--independent", *begun)
            parents = [new for other, new in anew if await holds(self.cache, tip.commit, other.commit)]
            made = await self._rebuilt(tip, out.split(), base, parents)
            anew.append((tip, made))
        return [msgspec.structs.replace(tip, commit=commit) for tip, commit in anew]

    async def _rebuilt(self, tip: Tip, begun: Sequence[str], base: Tip, parents: Sequence[str]) -> str:
        what = f"{base.branch} was rewritten (force-pushed) after {tip.branch} began"
        hand = f"rebase it onto {base.branch} by hand, or skip the step and add it again"
        if len(begun) > 1:
            raise WorkspaceFailed(f"{what}, which holds more than one of its earlier states: {hand}", permanent=True)
        made = await transplanted(self.cache, tip.commit, begun[0], base.commit, parents or (base.commit,))
        if isinstance(made, str):
            return made
        files = readable(", ".join(made)) or "its renames"
        raise WorkspaceFailed(
            f"{what}, and what it changes conflicts with the new one in {files}: {hand}", permanent=True
        )
