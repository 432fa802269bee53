"""What an agent is told of a merge that stopped, and what a person types to resolve one by hand. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from services.daemon.git.command import readable
from services.daemon.git.judging import DROPPED
from services.daemon.git.merging import MergeConflict, Tip
from shared.domain.delivery import Delivery
from shared.domain.names import StepRefs, delivery_branch
from shared.messages.commands import SpawnTask

REMOTE_HEAD = "the remote's HEAD"
"""What a merge begins at that names no base branch."""
ROUNDS = 3
"""How often an agent is told to resolve one conflict: the first time, and what it left undone."""


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
