"""The pull request of a delivery: which one it is, made once, refreshed between its markers."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import msgspec

from services.daemon.forges.client import AlreadyThere, Client, ForgeFailed, Found, NothingToPropose, one_line
from services.daemon.forges.patience import Patience
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Delivery, PullRequest
from shared.domain.descriptions import marked, placed, refreshed
from shared.domain.inert import inert_subject
from shared.domain.masking import Mask
from shared.domain.names import delivery_branch
from shared.messages.commands import SpawnTask

ROUNDS_LOOKED_THROUGH = 100


class RoundOver(Exception):
    """The pull request of a branch was merged or closed while its delivery was under way."""

    def __init__(self, found: Found) -> None:
        self.found = found
        super().__init__(f"{found.url} was {found.state}")


class Proposing:
    """The pull requests of one directive. Raises ForgeFailed wherever it asks the forge."""

    def __init__(self, client: Client, patience: Patience, noted: Callable[[str], None]) -> None:
        self._client = client
        self._patience = patience
        self._noted = noted

    async def target(self, order: Delivery, directive: UUID, first: str | None, begin: int) -> tuple[str, int]:
        """The branch to deliver on, and which pull request of the directive that is, from the `begin`th on.

        `first`: the branch of the order's round, where it is known. Raises WorkspaceFailed.
        """
        for number in range(begin, begin + ROUNDS_LOOKED_THROUGH):
            branch = branch_of(order, directive, number, first)
            there = await self.find(branch)
            if not there or any(f.state == "open" for f in there):
                return branch, number
            newest = there[0]
            self._noted(f"{newest.url} was {newest.state} meanwhile: the new work is in a new pull request")
        raise WorkspaceFailed(f"{ROUNDS_LOOKED_THROUGH} pull requests of this directive are over", permanent=True)

    async def find(self, branch: str) -> list[Found]:
        """The pull requests of a branch, newest first."""
        return list(await self._patience.ask(lambda: self._client.find(branch)))

    async def see_to(self, branch: str, base: str, wanted: PullRequest, template: str = "") -> str | None:
        """Have one open pull request of a branch that was pushed to; its address, or None: there is nothing to propose.

        `template`: the repository's own text for a new one.

        How it stands is asked again: what was open may be over by now. Raises RoundOver.
        """
        there = await self.find(branch)
        opened = next((f for f in there if f.state == "open"), None)
        if opened is not None:
            return await self._refresh(opened, wanted)
        if there:
            raise RoundOver(there[0])
        try:
            made, new = await self._patience.ask(lambda: self._create(branch, base, wanted, template))
        except NothingToPropose as error:
            self._noted(f"no pull request: {error}")
            return None
        if not new:
            return await self._refresh(made, wanted)
        try:
            await self._patience.ask(lambda: self._client.adorn(made, wanted))
        except ForgeFailed as error:
            self._noted(f"not all of its labels and reviewers: {error}")
        return made.url

    async def _refresh(self, found: Found, wanted: PullRequest) -> str:
        """Renew our part of an open one's body, as people have left it a moment ago; its address. Raises RoundOver."""
        now = await self._patience.ask(lambda: self._client.look(found.number, None)) or found
        if now.state != "open":
            raise RoundOver(now)
        if (body := refreshed(now.body, wanted.body)) != now.body.replace("\r\n", "\n"):
            await self._patience.ask(lambda: self._client.update(now, body))
        return now.url

    async def _create(self, branch: str, base: str, wanted: PullRequest, template: str) -> tuple[Found, bool]:
        """Make it, unless it is there: an answer that was lost may have made it, or a person. Whether it is new."""
        there = await self._opened(branch)
        if there is not None:
            return there, False
        try:
            return await self._client.create(branch, base, wanted, placed(template, marked(wanted.body))), True
        except AlreadyThere as error:
            there = await self._opened(branch)
            if there is None:  # it is not listed yet
                raise ForgeFailed(str(error), passing=True) from None
            return there, False

    async def _opened(self, branch: str) -> Found | None:
        return next((f for f in await self._client.find(branch) if f.state == "open"), None)


def fit_for_a_forge(command: SpawnTask, mask: Mask) -> SpawnTask:
    """A delivery whose texts may be published: without secrets, and with a title that closes and calls nothing."""
    order = command.delivery
    if order is None:
        return command
    wanted = order.pull_request
    if wanted is not None:
        title = inert_subject(mask(wanted.title))
        wanted = msgspec.structs.replace(wanted, title=title, body=mask(wanted.body))
    clean = msgspec.structs.replace(
        order,
        pull_request=wanted,
        steps=tuple(msgspec.structs.replace(s, name=mask(s.name)) for s in order.steps),
        earlier=tuple(msgspec.structs.replace(s, name=mask(s.name)) for s in order.earlier),
    )
    return msgspec.structs.replace(command, delivery=clean)


def branch_of(order: Delivery, directive: UUID, number: int, first: str | None) -> str:
    """The branch of a directive's pull request of this number."""
    return first if first and number == order.round else delivery_branch(order.title, directive, number)


def push_options(wanted: PullRequest, base: str) -> tuple[str, ...]:
    """What tells a GitLab that can't be asked to make the merge request. No line breaks, so no text but a title."""
    draft = ("merge_request.draft",) if wanted.draft else ()
    labels = (f"merge_request.label={one_line(label, 200)}" for label in wanted.labels)
    title = f"merge_request.title={one_line(wanted.title, 255)}"
    return ("merge_request.create", f"merge_request.target={base}", title, *draft, *labels)
