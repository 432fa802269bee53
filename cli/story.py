"""A directive's log as a story: what happened, in sentences, with the names of steps in the place of their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from cli.events import read
from cli.text import clean
from shared.api.events import EventShown
from shared.domain.statuses import DirectiveStatus
from shared.messages import events
from shared.messages.events import AnyEvent

MAX_NAMED = 4
HANGING = " " * 12
"""Where a sentence begins, behind its time."""
_TASKS = {"plan": "planning", "step": "work", "completion": "the delivery", "verification": "the look at the delivery"}
_WHY_PLANNED = {
    "goal": "the goal is new",
    "orders": "orders are to be picked up",
    "failure": "a step failed",
    "user": "a person asked for it",
}


def told(happened: Iterable[EventShown], names: Mapping[UUID, str]) -> Iterator[str]:
    """A line for each event that means something to a person. A day is named where it begins."""
    day, rested = "", False
    for event in happened:
        at, body = event.at.astimezone(), read(event)
        rests, rested = rested, rests_after(body, rested)
        if (sentence := _sentence(body, names)) and not (rests and is_rest(body)):
            if day != (day := f"{at:%A, %-d %B %Y}"):
                yield day
            yield f"  {at:%H:%M:%S}  {sentence}"


def rests_after(event: AnyEvent | None, rested: bool) -> bool:
    """Whether all of its steps have ended since, and that was said: each look at a delivery comes back to that."""
    if isinstance(event, events.StepAdded | events.StepReady | events.StepChanged):
        return False
    return rested or is_rest(event)


def is_rest(event: AnyEvent | None) -> bool:
    """Whether it says that all steps have ended."""
    return isinstance(event, events.DirectiveChanged) and event.status == DirectiveStatus.IDLE


def _sentence(event: AnyEvent | None, names: Mapping[UUID, str]) -> str:
    match event:
        case events.DirectiveCreated():
            return "The directive was made."
        case events.DirectiveChanged():
            return _directive(event)
        case events.PlanRequested():
            return f"A plan is due: {_WHY_PLANNED.get(event.reason, clean(event.reason))}."
        case events.PlanFinished():
            return f"The plan came into force, with {_many(event.steps)}."
        case events.StepAdded():
            return f"Added: {_named(event.steps, names)}."
        case events.StepReady():
            return f"Ready: {_named(event.steps, names)}."
        case events.StepRemoved():
            return "A step was removed."
        case events.StepChanged():
            return f"{clean(event.name or 'A step')}: {event.status}{_because(event.reason)}"
        case events.TaskChanged(asked=False):
            return _task(event)
        case events.DeliveryFinished():
            where = f", {clean(event.pr_url)}" if event.pr_url else ""
            return f"Delivered on {clean(event.branch or 'its branch')}{where}."
        case events.QuestionAsked():
            return f"An agent asks: {clean(event.text)}"
        case events.QuestionAnswered():
            return f"The question was {clean(event.settled or 'answered')}."
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
    where = f" on {clean(event.daemon)}" if event.daemon and event.status in ("starting", "running") else ""
    return f"{_TASKS.get(event.kind, event.kind).capitalize()}: {event.status}{where}{_because(event.reason)}"


def _because(reason: str | None) -> str:
    return f": {clean(reason)}" if reason else ""


def _named(steps: Sequence[UUID], names: Mapping[UUID, str]) -> str:
    known = [names.get(step, "a step that is gone") for step in steps]
    left = len(known) - MAX_NAMED
    return ", ".join([*map(clean, known[:MAX_NAMED]), *([f"and {left} more"] if left > 0 else [])])


def _many(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"
