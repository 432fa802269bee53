"""What follows from what came of a delivery (rules 10 to 13). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from shared.domain.delivery import (
    Broken,
    Conflicted,
    Delivered,
    Delivery,
    Nothing,
    PullRequestState,
    Result,
    Seen,
)
from shared.domain.statuses import DirectiveStatus

LONGEST_POLL_SECONDS = 900.0
DONE_AS_IT_IS = "say that it is done as it is (makima directive update --status completed)"


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """As much of a directive and of the task that ended as decides."""

    order: Delivery
    status: DirectiveStatus
    on_failure: str = "replan"
    fixes: int = 0
    max_fixes: int = 2
    can_judge: bool = True
    """Its agent understands prose: it can resolve a conflict and fix a check."""
    forge_expected: bool = False
    watched: bool = True
    poll_seconds: float = 60.0
    looks: int = 0
    pr_url: str | None = None
    etag: str | None = None
    names: Mapping[UUID, str] = {}
    dependents: Mapping[UUID, Sequence[UUID]] = {}


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. None leaves a fact as it is; the status changes only where the directive is idle."""

    status: DirectiveStatus | None = None
    reason: str | None = None
    branch: str | None = None
    round: int | None = None
    url: str | None = None
    state: PullRequestState | None = None
    etag: str | None = None
    look_in: float | None = None
    looks: int = 0
    heads: tuple[str, ...] = ()
    """The commits that were pushed for it, the one that was delivered last."""
    delivered: bool = False
    """The steps of the order are delivered."""
    undelivered: tuple[UUID, ...] = ()
    """Steps that have to be delivered again."""
    forgotten: bool = False
    """The pull request that was known is not the delivery's."""
    verified: bool = False
    resolve: Conflicted | None = None
    """An agent is to resolve it."""
    fix: Broken | None = None
    """A step that fixes it is to be planned."""
    leave_out: tuple[UUID, ...] = ()
    removed: tuple[str, ...] = ()


class NothingLeft(msgspec.Struct, frozen=True, kw_only=True):
    """As much of an idle directive in which nothing is left to deliver as decides what becomes of it."""

    has_repository: bool = True
    delivered: bool = False
    """Something of it was delivered before."""
    pr_url: str | None = None
    pr_state: PullRequestState | None = None
    left_out: bool = False
    """Steps of it break the check."""


def conclusion(at: NothingLeft) -> tuple[DirectiveStatus, str]:
    """Whether a directive in which nothing is left to deliver is completed or paused, and why."""
    completed, paused = DirectiveStatus.COMPLETED, DirectiveStatus.PAUSED
    if not at.has_repository:
        return completed, "no repository to deliver to"
    if at.pr_state == "merged":
        return completed, f"{at.pr_url} was merged, and nothing new came after it"
    if at.pr_state == "closed":
        return paused, closed_reason(at.pr_url)
    if at.delivered:
        return completed, "nothing new to deliver"
    if at.left_out:
        return paused, "nothing is left to deliver: what completed breaks the check"
    return paused, "nothing to deliver: no step completed; retry one, change the goal, or archive it"


def settle(result: Result, at: Situation) -> Settled:
    """What follows."""
    match result:
        case Delivered():
            return _delivered(result, at)
        case Conflicted():
            return _conflicted(result, at)
        case Broken():
            return _broken(result, at)
        case Seen():
            return _seen(result, at)
        case Nothing():
            return _nothing(result, at)


def _nothing(result: Nothing, at: Situation) -> Settled:
    if result.not_ours:
        return Settled(reason=f"{result.reason}: looking for the delivery's own pull request", forgotten=True)
    if result.missing:
        reason = f"{result.reason}: resume it, and the work is delivered again; or {DONE_AS_IT_IS}"
        return Settled(status=DirectiveStatus.PAUSED, reason=reason, undelivered=result.missing, verified=True)
    if at.order.action == "watch":
        return Settled(reason=f"its pull request is not watched: {result.reason}")
    delivered = at.order.action == "deliver"
    reason = result.reason if delivered else f"delivered: {result.reason}"
    return Settled(status=DirectiveStatus.COMPLETED, reason=reason, delivered=delivered, verified=True)


def _delivered(result: Delivered, at: Situation) -> Settled:
    notes = "".join(f"; {n}" for n in result.notes)
    facts = Settled(
        branch=result.branch,
        round=result.round,
        heads=(*result.overtaken, result.head) if result.head else result.overtaken,
        delivered=True,
        removed=result.removed,
        verified=at.order.action == "verify",
    )
    if result.pr_url is not None:
        return msgspec.structs.replace(
            facts,
            url=result.pr_url,
            state="open",
            reason=f"delivered: {result.pr_url}{notes}",
            look_in=at.poll_seconds if at.watched else None,
        )
    if at.forge_expected and at.order.action == "deliver":
        return msgspec.structs.replace(facts, reason=f"delivered on {result.branch}; looking for its pull request")
    return msgspec.structs.replace(
        facts, status=DirectiveStatus.COMPLETED, reason=f"delivered on {result.branch}{notes}"
    )


def _conflicted(result: Conflicted, at: Situation) -> Settled:
    if at.can_judge:
        return Settled(resolve=result)
    commands = "; ".join(result.by_hand)
    reason = (
        f"the delivery conflicts: {result.branch} with {result.into} in {', '.join(result.files)}; by hand: {commands}"
    )
    return Settled(status=DirectiveStatus.PAUSED, reason=reason)


def _broken(result: Broken, at: Situation) -> Settled:
    who = named(result.steps, at.names)
    if not result.steps:
        reason = f"the check `{result.command}` fails on the base branch by itself: fix it there, then resume"
        return Settled(status=DirectiveStatus.PAUSED, reason=reason)
    if at.can_judge and at.fixes < at.max_fixes:
        return Settled(status=DirectiveStatus.ACTIVE, reason=f"{who} break the check: a step fixes it", fix=result)
    if at.on_failure == "continue":
        left_out = (result.steps[-1], *_all_dependents(result.steps[-1], at.dependents))
        return Settled(leave_out=left_out, reason=f"delivered without {named(left_out, at.names)}: it breaks the check")
    tried = f"; {at.fixes} fixes did not help" if at.fixes else ""
    advice = "add a step that fixes it (makima directive add-step, depending on them), or skip one, then resume"
    return Settled(status=DirectiveStatus.PAUSED, reason=f"{who} break the check `{result.command}`{tried}: {advice}")


def _merged_without(result: Seen, at: Situation) -> Settled | None:
    """What follows from a merge that lacks what was delivered; None where it lacks nothing."""
    if result.state == "merged" and result.missing:
        without = named(result.missing, at.names)
        reason = f"{at.pr_url} was merged without {without}, which the base branch does not hold either"
        return Settled(
            status=DirectiveStatus.PAUSED,
            reason=f"{reason}: resume it, and that is delivered in a new pull request; or {DONE_AS_IT_IS}",
            state="merged",
            etag=result.etag,
            undelivered=result.missing,
        )
    return None


def _seen(result: Seen, at: Situation) -> Settled:
    if without := _merged_without(result, at):
        return without
    if result.state == "merged":
        return Settled(
            status=DirectiveStatus.COMPLETED,
            reason=f"{at.pr_url} was merged" + "".join(f"; {n}" for n in result.notes),
            state="merged",
            etag=result.etag,
            removed=result.removed,
        )
    if result.state == "closed":
        return Settled(
            status=DirectiveStatus.PAUSED,
            reason=closed_reason(at.pr_url) + "".join(f"; {n}" for n in result.notes),
            state="closed",
            etag=result.etag,
            removed=result.removed,
        )
    changed = result.etag != at.etag
    looks = 0 if changed else at.looks + 1
    return Settled(etag=result.etag, looks=looks, look_in=next_look(at.poll_seconds, looks))


def closed_reason(url: str | None) -> str:
    """Why a directive whose pull request was closed is paused, and what moves it on."""
    return (
        f"{url} was closed without being merged: change the goal or add steps for a new pull request, archive it, "
        "or say that it is done (makima directive update --status completed)"
    )


def next_look(poll_seconds: float, looks: int) -> float:
    """Seconds until a pull request is looked at again: doubled each time nothing had changed."""
    return float(min(poll_seconds * 2.0 ** min(looks, 10), max(LONGEST_POLL_SECONDS, poll_seconds)))


def named(steps: Iterable[UUID], names: Mapping[UUID, str]) -> str:
    """Steps by their names, in words."""
    return " and ".join(repr(names.get(s, str(s))) for s in steps)


def _all_dependents(step: UUID, dependents: Mapping[UUID, Sequence[UUID]]) -> tuple[UUID, ...]:
    found: dict[UUID, None] = {}
    waiting = list(dependents.get(step, ()))
    while waiting:
        if (one := waiting.pop()) not in found:
            found[one] = None
            waiting += dependents.get(one, ())
    return tuple(found)
