"""A directive's log as a story: what happened, in sentences, with the names of steps in the place of their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from cli.text import clean
from shared.api.events import EventShown

MAX_NAMED = 4
_TASKS = {"plan": "planning", "step": "work", "completion": "the delivery", "verification": "the look at the delivery"}
_WHY_PLANNED = {
    "goal": "the goal is new",
    "orders": "orders are to be picked up",
    "failure": "a step failed",
    "user": "a person asked for it",
}


def told(events: Iterable[EventShown], names: Mapping[str, str]) -> Iterator[str]:
    """A line for each event that means something to a person. A day is named where it begins."""
    day = ""
    for event in events:
        at = event.at.astimezone()
        if sentence := _sentence(event, names):
            if day != (day := f"{at:%A, %-d %B %Y}"):
                yield day
            yield f"  {at:%H:%M:%S}  {sentence}"


def _sentence(event: EventShown, names: Mapping[str, str]) -> str:
    body = event.body
    reason = f": {clean(body['reason'])}" if body.get("reason") else ""
    match event.type:
        case "directive.created":
            return "The directive was made."
        case "directive.changed":
            return _directive(body, reason)
        case "plan.requested":
            return f"A plan is due: {_WHY_PLANNED.get(str(body.get('reason')), clean(body.get('reason', '')))}."
        case "plan.finished":
            return f"The plan came into force, with {_many(cast('int', body.get('steps', 0)))}."
        case "step.added":
            return f"Added: {_named(body.get('steps'), names)}."
        case "step.ready":
            return f"Ready: {_named(body.get('steps'), names)}."
        case "step.removed":
            return "A step was removed."
        case "step.changed":
            return f"{clean(body.get('name', 'A step'))}: {body.get('status')}{reason}"
        case "task.changed":
            return _task(body, reason)
        case "delivery.finished":
            where = f", {clean(body['pr_url'])}" if body.get("pr_url") else ""
            return f"Delivered on {clean(body.get('branch') or 'its branch')}{where}."
        case "question.asked":
            return f"An agent asks: {clean(body.get('text', ''))}"
        case "question.answered":
            return f"The question was {clean(body.get('settled', 'answered'))}."
        case "order.changed":
            return f"An order is {str(body.get('status')).replace('_', ' ')}."
    return ""


def _directive(body: Mapping[str, object], reason: str) -> str:
    changed = cast("list[str]", body.get("changed") or [])
    if changed:
        return f"A person changed {', '.join(name.replace('_', ' ') for name in changed)}."
    return f"The directive is {str(body.get('status')).replace('_', ' ')}{reason}"


def _task(body: Mapping[str, object], reason: str) -> str:
    """Steps say themselves how they end; of their tasks only what else happens is told."""
    kind, status = str(body.get("kind")), body.get("status")
    if kind == "step" and (not reason or status in ("completed", "failed")):
        return ""
    where = f" on {clean(body['daemon'])}" if body.get("daemon") and status in ("starting", "running") else ""
    return f"{_TASKS.get(kind, kind).capitalize()}: {status}{where}{reason}"


def _named(steps: object, names: Mapping[str, str]) -> str:
    known = [names.get(str(step), "a step that is gone") for step in cast("list[str]", steps or [])]
    left = len(known) - MAX_NAMED
    return ", ".join([*map(clean, known[:MAX_NAMED]), *([f"and {left} more"] if left > 0 else [])])


def _many(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"
