"""What happened, in sentences, with the names of steps in the place of their ids: for every place that tells a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from shared.domain.statuses import DirectiveStatus
from shared.messages import events
from shared.messages.events import AnyEvent

MAX_NAMED = 4
_TASKS = {"plan": "planning", "step": "work", "completion": "the delivery", "verification": "the look at the delivery"}
_WHY_PLANNED = {
    "goal": "the goal is new",
    "orders": "orders are to be picked up",
    "failure": "a step failed",
    "user": "a person asked for it",
}


def read(type: str, directive: UUID | None, body: Mapping[str, object]) -> AnyEvent | None:
    """An entry of the log in its own shape; None for one that this version doesn't know."""
    try:
        return msgspec.convert({**body, "type": type, "directive": directive}, AnyEvent)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return None


def sentence(event: AnyEvent | None, names: Mapping[UUID, str]) -> str:
    """An event as a sentence, empty for one that means nothing to a person. What others wrote stands in it as it is."""
    match event:
        case events.DirectiveCreated():
            return "The directive was made."
        case events.DirectiveChanged():
            return _directive(event)
        case events.PlanRequested():
            return f"A plan is due: {_WHY_PLANNED.get(event.reason, event.reason)}."
        case events.PlanFinished():
            return f"The plan came into force, with {_many(event.steps)}."
        case events.StepAdded():
            return f"Added: {_named(event.steps, names)}."
        case events.StepReady():
            return f"Ready: {_named(event.steps, names)}."
        case events.StepRemoved():
            return "A step was removed."
        case events.StepChanged():
            return f"{event.name or 'A step'}: {event.status}{_because(event.reason)}"
        case events.TaskChanged(asked=False):
            return _task(event)
        case events.DeliveryFinished():
            where = f", {event.pr_url}" if event.pr_url else ""
            return f"Delivered on {event.branch or 'its branch'}{where}."
        case events.QuestionAsked():
            return f"An agent asks: {event.text}"
        case events.QuestionAnswered():
            return f"The question was {event.settled or 'answered'}."
        case events.OrderChanged():
            return f"An order is {event.status.replace('_', ' ')}."
    return ""


def _directive(event: events.DirectiveChanged) -> str:
    if event.changed:
        return f"A person changed {', '.join(name.replace('_', ' ') for name in event.changed)}."
    if event.status == DirectiveStatus.IDLE:
        return "All steps have ended."
    return f"The directive is {event.status.replace('_', ' ')}{_because(event.reason)}"


def _task(event: events.TaskChanged) -> str:
    """Steps say themselves how they end; of their tasks only what else happens is told."""
    if event.kind == "step" and (not event.reason or event.status in ("completed", "failed")):
        return ""
    where = f" on {event.daemon}" if event.daemon and event.status in ("starting", "running") else ""
    return f"{_TASKS.get(event.kind, event.kind).capitalize()}: {event.status}{where}{_because(event.reason)}"


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _named(steps: Sequence[UUID], names: Mapping[UUID, str]) -> str:
    known = [names.get(step, "a step that is gone") for step in steps]
    left = len(known) - MAX_NAMED
    return ", ".join([*known[:MAX_NAMED], *([f"and {left} more"] if left > 0 else [])])


def _many(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"
