"""A merge that stopped: recorded resolutions first, then an agent, whose resolution is judged natively."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.daemon.git.command import GitError, git, names, readable
from services.daemon.git.merging import MergeConflict, Tip, holds, merge_tree
from shared.domain.delivery import Delivery
from shared.domain.names import StepRefs, delivery_branch
from shared.messages.commands import SpawnTask

REMOTE_HEAD = "the remote's HEAD"
"""What a merge begins at that names no base branch."""
ROUNDS = 3
"""How often an agent is told to resolve one conflict: the first time, and what it left undone."""
DROPPED = "Dropped:"
"""Starts a line of the merge commit's message that says that a side of a file was dropped on purpose."""
_MERGE = ("-c", "rerere.enabled=true", "-c", "rerere.autoUpdate=true", "merge", "--no-edit", "--no-verify")
_GONE = "0" * 40

RunAgent = Callable[[Path, str], Awaitable[None]]
"""Runs the attempt's agent in a folder with a prompt, to its end. Raises AgentFailed or RoundOver."""
Checkout = Callable[[str], Awaitable[Path]]
"""A clean worktree at a commit."""


class Unresolved(RuntimeError):
    """The agent did not resolve a conflict: what is wrong with it, and the conflict."""

    def __init__(self, conflict: MergeConflict, problems: list[str]) -> None:
        self.conflict = conflict
        super().__init__(f"{conflict}; the agent's resolution was refused: {'; '.join(problems)}")


class Resolver:
    """Resolves the conflicts of one delivery. `agent` None: by recorded resolutions alone."""

    def __init__(self, repository: Path, checkout: Checkout, agent: RunAgent | None) -> None:
        self._repository = repository
        self._checkout = checkout
        self._agent = agent

    async def __call__(self, conflict: MergeConflict) -> str:
        """The merge commit. Raises the conflict, Unresolved, and what the agent's run raises."""
        worktree = await self._checkout(conflict.onto)
        if await merge_in(worktree, conflict.tip.commit, conflict.tip.branch):
            return await head_of(worktree)
        if self._agent is None:
            await git(worktree, "merge", "--abort")
            raise conflict
        await resolve_with(self._agent, worktree, conflict)
        return await head_of(worktree)


async def merge_in(worktree: Path, commit: str, branch: str) -> bool:
    """Merge in a worktree; False when it stopped at conflicts that nobody has resolved before. Raises GitError."""
    try:
        await git(worktree, *_MERGE, "-m", f"Merge {branch}", commit)
    except GitError:
        if not await merging(worktree) or await unmerged(worktree):
            if not await merging(worktree):
                raise
            return False
        await git(worktree, "commit", "--quiet", "--no-verify", "--no-edit")
    return True


async def resolve_with(agent: RunAgent, worktree: Path, conflict: MergeConflict) -> None:
    """Have an agent resolve the merge that stopped in a worktree, up to ROUNDS times. Raises Unresolved."""
    prompt, problems = notice(conflict), [""]
    for _ in range(ROUNDS):
        await agent(worktree, prompt)
        if not await merging(worktree) and await git(worktree, "status", "--porcelain"):
            await git(worktree, "add", "--all")
            await git(worktree, "commit", "--quiet", "--no-verify", "-m", f"Resolve the merge of {conflict.tip.branch}")
        problems = await conclude(worktree, conflict)
        if not problems:
            return
        prompt = sent_back(problems, conflict)
    raise Unresolved(conflict, problems)


def by_hand(command: SpawnTask, order: Delivery, conflict: MergeConflict, step_refs: StepRefs) -> list[str]:
    """The commands that resolve a delivery's conflict in a clone of the repository."""
    target = command.target_branch or delivery_branch(order.title, command.directive)
    start = "HEAD" if conflict.into == REMOTE_HEAD else conflict.into
    branches = [step.branch for step in order.steps]
    here = branches.index(conflict.tip.branch) if conflict.tip.branch in branches else -1
    merges = [*branches[: here + 1]] or [conflict.tip.branch]
    steps_too = shlex.join(("git", "fetch", "origin", "refs/makima/*:refs/remotes/origin/makima/*"))
    return [
        "git fetch origin",
        *([steps_too] if step_refs == "refs/makima" else []),
        shlex.join(("git", "fetch", "origin", start)),
        shlex.join(("git", "switch", "-C", target, "FETCH_HEAD")),
        *(shlex.join(("git", "merge", f"origin/{branch}")) for branch in merges),
        "# resolve, git add, git commit",
        shlex.join(("git", "push", "origin", target)),
        shlex.join(("makima", "directive", "resume", str(command.directive))),
    ]


def sent_back(problems: Sequence[str], conflict: MergeConflict, left: Sequence[Tip] = ()) -> str:
    """What an agent is told when its resolution is refused."""
    return "The merge is not resolved yet:\n" + "\n".join(f"- {p}" for p in problems) + f"\n\n{notice(conflict, left)}"


def notice(conflict: MergeConflict, left: Sequence[Tip] = ()) -> str:
    """What an agent is told of a merge that stopped in its worktree, and of those that are `left` to be made."""
    more = "".join(f"    git merge --no-edit {tip.commit}  # {tip.branch}\n" for tip in left)
    then = f"\nThen merge the rest in the same way:\n\n{more}" if left else ""
    files = "\n".join(f"- {f}" for f in conflict.files)
    what = conflict.tip.branch + (f" ({conflict.tip.name})" if conflict.tip.name else "")
    text = f"""In this worktree the merge of {what} into {conflict.into} has stopped at conflicts in:
{files}

Resolve them so that what both sides meant is kept: `git log --merge -p` shows what each did. Then `git add` each file \
(`git rm` what is to be gone) and end the merge with `git commit --no-edit`. Do not abort it, and do not take one side \
whole; where a side really has to go, say so in the merge commit's message in a line `{DROPPED} <file>: <why>`.
{then}"""
    return readable(text)


async def conclude(worktree: Path, conflict: MergeConflict, left: Sequence[Tip] = ()) -> list[str]:
    """What is wrong with a resolution, in words; nothing: it is committed. Ends a merge that is only not committed."""
    if still := await unmerged(worktree):
        return [readable(f"{f} still conflicts: resolve it and `git add` it") for f in still]
    if await merging(worktree):
        await git(worktree, "add", "--all")
        await git(worktree, "commit", "--quiet", "--no-verify", "--no-edit")
    if not (await holds(worktree, "HEAD", conflict.onto) and await holds(worktree, "HEAD", conflict.tip.commit)):
        again = shlex.join(("git", "merge", conflict.tip.commit))
        return [f"the merge is not there any more (aborted, or reset): start it again with `{again}`"]
    for tip in left:
        if not await holds(worktree, "HEAD", tip.commit):
            return [f"{tip.branch} is not merged yet: `{shlex.join(('git', 'merge', '--no-edit', tip.commit))}`"]
    return [*await _markers(worktree, conflict), *await _dropped(worktree, conflict)]


async def merging(worktree: Path) -> bool:
    """Whether a merge is under way."""
    return Path((await git(worktree, "rev-parse", "--git-path", "MERGE_HEAD")).strip()).exists()


async def unmerged(worktree: Path) -> list[str]:
    """The files that still conflict."""
    return sorted(set(await names(worktree, "diff", "--name-only", "--diff-filter=U", "-z")))


async def head_of(worktree: Path) -> str:
    """The commit that a worktree is at."""
    return (await git(worktree, "rev-parse", "HEAD")).strip()


async def _markers(worktree: Path, conflict: MergeConflict) -> list[str]:
    async def marked(commit: str) -> set[str]:
        try:
            found = await names(
                worktree, "grep", "-z", "-l", "-I", "-e", "^<<<<<<< ", "-e", "^>>>>>>> ", commit, "--", *paths
            )
        except GitError as error:
            if error.code == 1 and not error.out:
                return set()
            raise
        return {name.partition(":")[2] for name in found}

    paths = [f":(literal){f}" for f in conflict.files]
    before = await marked(conflict.onto) | await marked(conflict.tip.commit)
    return [readable(f"{f} still has conflict markers") for f in sorted(await marked("HEAD") - before)]


async def _dropped(worktree: Path, conflict: MergeConflict) -> list[str]:
    """Files of which the result has nothing of what one side did to them."""
    base = (await git(worktree, "merge-base", conflict.onto, conflict.tip.commit)).strip()
    ours, theirs, result = [
        await _blobs(worktree, base, commit) for commit in (conflict.onto, conflict.tip.commit, "HEAD")
    ]
    automatic = await merge_tree(worktree, conflict.onto, conflict.tip.commit)
    touched = {*conflict.files, *await _blobs(worktree, automatic.tree, "HEAD")}
    message = await git(worktree, "log", "--format=%B", "HEAD", "--not", conflict.onto, conflict.tip.commit)
    on_purpose = [line.removeprefix(DROPPED).strip() for line in message.splitlines() if line.startswith(DROPPED)]
    problems = []
    for file in sorted(touched):
        side = _side_dropped(ours.get(file), theirs.get(file), result.get(file))
        if (
            side is None
            or any(said.startswith(readable(file)) for said in on_purpose)
            or await _is_binary(worktree, base, file)
        ):
            continue
        who = conflict.into if side == "ours" else conflict.tip.branch
        problems.append(readable(f"{file} holds nothing of what {who} did to it"))
    return problems


def _side_dropped(ours: str | None, theirs: str | None, result: str | None) -> str | None:
    """Which side's change of a file is gone. None as a blob: not changed.

    A deletion has nothing to be kept; what the other side made of a file that one side deleted has.
    """
    if ours == theirs:
        return None
    if _GONE in (ours, theirs):
        other = "theirs" if ours == _GONE else "ours"
        return other if result == _GONE and None not in (ours, theirs) else None
    if theirs is not None and result == ours:
        return "theirs"
    if ours is not None and result == theirs:
        return "ours"
    return None


async def _is_binary(worktree: Path, base: str, file: str) -> bool:
    out = await git(worktree, "diff", "--numstat", "--no-renames", base, "HEAD", "--", f":(literal){file}")
    return out.startswith("-\t-")


async def _blobs(worktree: Path, before: str, after: str) -> dict[str, str]:
    parts = await names(worktree, "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after)
    return {file: meta.split()[3] for meta, file in zip(parts[0::2], parts[1::2], strict=False)}
