"""Branch names (rule 8). Whoever creates, merges or delivers a branch takes its name from here or the stored fact."""

from __future__ import annotations

import re
from typing import Literal
from uuid import UUID

LONGEST_SLUG = 50

DAEMON_NAME = r"^(?!(?:keys|invitations)$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""What a daemon on another machine may be called: it is a folder's name, and stands in messages of the bus. None is
called as what the interface has beside daemons."""
TAKEN_NAMES = frozenset({"keys", "invitations"})
_DAEMON_NAME = re.compile(DAEMON_NAME, re.ASCII)
OWNER_NAME = DAEMON_NAME
"""What an owner may be called."""
PERSON_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$"
"""What a person may be called: an account's name, or an address of e-mail."""

StepRefs = Literal["refs/heads", "refs/makima"]
"""Where steps' branches lie on the remote: among its branches, or outside of them."""


def slug(text: str) -> str:
    """Lower case, runs of anything but a-z 0-9 as one '-', none at the ends, at most 50 characters; 'task' when empty.

    >>> slug("  Add the   README!  ")
    'add-the-readme'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_SLUG].strip("-") or "task"


def task_branch(name: str, task_id: UUID, attempt: int) -> str:
    """The branch that one attempt of a task writes; attempts after the first carry their number."""
    suffix = f"-{attempt}" if attempt > 1 else ""
    return f"makima/{slug(name)}-{task_id.hex[-8:]}{suffix}"


def delivery_branch(title: str, directive_id: UUID, round_: int = 1) -> str:
    """The branch that a directive is delivered on; after its first pull request was over, the next ones' branches."""
    suffix = f"-{round_}" if round_ > 1 else ""
    return f"makima/directive-{slug(title)}-{directive_id.hex[-8:]}{suffix}"


def step_ref(branch: str, where: StepRefs = "refs/heads") -> str:
    """The full name of a step's branch on the remote.

    >>> step_ref("makima/x-01234567", "refs/makima")
    'refs/makima/x-01234567'
    """
    return f"refs/{branch}" if where == "refs/makima" and branch.startswith("makima/") else f"refs/heads/{branch}"


def is_daemon_name(name: str) -> bool:
    r"""Whether a daemon on another machine may be called so.

    >>> [is_daemon_name(name) for name in ("build-1", "a.example.org", "-x", "../x", "a:b", "a\n", "keys")]
    [True, True, False, False, False, False, False]
    """
    return _DAEMON_NAME.fullmatch(name) is not None
