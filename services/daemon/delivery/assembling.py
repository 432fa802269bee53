"""What a delivery consists of: the tips of its steps and where they are merged, and the merge of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from services.daemon.delivery.remote import Remote
from services.daemon.git.command import GitError, git
from services.daemon.git.merging import Tip, commit_tree, independent, merge_all, merge_base_of_squashed, tree_of
from services.daemon.workspaces.caches import refuse_missing
from services.daemon.workspaces.resolving import Resolver, RunAgent
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.delivery import Delivery, StepBranch
from shared.messages.commands import SpawnTask

ATTRIBUTES = "attributes"
_ATTRIBUTES = ":(glob)**/.gitattributes"


class Assembling:
    """The work of one delivery, in the daemon's cache of its repository. `noted`: for the pull request."""

    def __init__(
        self, command: SpawnTask, remote: Remote, workspaces: Workspaces, noted: Callable[[str], None]
    ) -> None:
        assert command.delivery is not None
        self._command = command
        self._order: Delivery = command.delivery
        self._remote = remote
        self._workspaces = workspaces
        self._noted = noted
        self._attributes: dict[str, str] = {}
        """What counts of the attributes of a commit at which a merge began."""

    async def tips(self, target: str) -> tuple[Tip, list[Tip], list[Tip]]:
        """Where the merge begins, what it merges, and what was squashed into its beginning before.

        On a branch that isn't there, what earlier deliveries held comes along again, unless the base branch has it.
        """
        known, order = await self._remote.branches(), self._order
        lost: Sequence[StepBranch] = ()
        if target in known:
            begin = Tip(branch=target, commit=known[target])
        else:
            begin = await self._remote.base()
            lost = await self._remote.not_in_base(order.earlier)
        again, _ = await self._steps(lost, known)
        tips, missing = await self._steps(order.steps, known)
        refuse_missing(missing)
        tips = [*again, *tips]
        if old := await self._remote.left_behind((*order.earlier, *order.steps)):
            await self._remote.refuse_left_behind(begin, old)
            tips = await self._rebuilt(tips, old)
        earlier, _ = await self._steps([s for s in order.earlier if s not in lost], known)
        return begin, tips, earlier

    @property
    def _cache(self) -> Path:
        """The daemon's copy of the repository, as it was fetched last."""
        return self._remote.cache

    async def _rebuilt(self, tips: list[Tip], old: Sequence[str]) -> list[Tip]:
        """The tips without what was removed from the base branch that they began at."""
        anew = await self._remote.rebuilt(tips, old)
        if anew != tips:
            base = (await self._remote.base()).branch
            self._noted(f"{base} was rewritten (force-pushed) meanwhile: the work is rebuilt on it as it is now")
        return anew

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

    async def merge(
        self, begin: Tip, tips: Sequence[Tip], earlier: Sequence[Tip], agent: RunAgent | None = None
    ) -> str:
        """Merge the tips where it begins; the commit. Raises MergeConflict where no `agent` resolves it."""
        resolver = Resolver(self._workspaces.checkouts(self._command), agent)
        where = await self._with_attributes(begin)
        if self._order.strategy == "squash":
            start = await merge_base_of_squashed(self._cache, begin, earlier)
            head = await merge_all(where, start, tips, "squash", resolver, self._noted)
            return begin.commit if head == start.commit else await self._grafted(start, begin, head)
        start = await merge_base_of_squashed(self._cache, begin, await independent(self._cache, begin.commit, earlier))
        head = await merge_all(where, start, tips, "merge", resolver, self._noted)
        return begin.commit if head == start.commit else head

    async def _with_attributes(self, begin: Tip) -> Path:
        """Where to merge so that the attributes count which say how files are merged, as the beginning has them.

        git looks for them in the files of a worktree: there is one that holds nothing else, where there are any.
        """
        said = await self._attributes_of(begin)
        if "merge" not in said and "binary" not in said:
            return self._cache
        return await self._workspaces.checkout_only(self._command, begin.commit, _ATTRIBUTES, ATTRIBUTES)

    async def _attributes_of(self, begin: Tip) -> str:
        """The lines of the beginning's attributes that say how files are merged, or kept by git-lfs."""
        if begin.commit not in self._attributes:
            asked = ("grep", "-h", "-E", "-e", "merge|binary|filter=lfs", begin.commit, "--", _ATTRIBUTES)
            try:
                self._attributes[begin.commit] = await git(self._cache, *asked)
            except GitError as error:
                if error.code != 1:
                    raise
                self._attributes[begin.commit] = ""
        return self._attributes[begin.commit]

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

    async def on_no_remote(self, begin: Tip, head: str) -> list[str]:
        """What of a commit nobody could clone, in words."""
        large = "filter=lfs" in await self._attributes_of(begin)
        return await self._workspaces.on_remotes(self._command, begin.commit, head, large)
