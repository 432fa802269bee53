"""What daemons offer, and what of a plan none of them does: warnings, which never refuse. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from shared.domain.plans import PlannedStep
from shared.domain.texts import nearest

MOST_NAMED = 3
OFFERING = "a daemon offers it by its setting labels"


class Offer(Protocol):
    """A daemon's agents and labels."""

    @property
    def agents(self) -> Sequence[str]:
        """Whom it can have work."""

    @property
    def labels(self) -> Sequence[str]:
        """What else it offers."""


def lacking(steps: Sequence[PlannedStep], agent: str, offers: Sequence[Offer]) -> list[str]:
    """What steps ask for and no daemon offers, in words, with what was probably meant.

    `agent`: of steps that name none. Without any daemon nothing is said: that they are missing is told elsewhere.
    """
    if not offers:
        return []
    asked: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        named = [("agent", step.agent)] if step.agent else []
        for what in [*named, *(("label", label) for label in dict.fromkeys(step.labels))]:
            asked.setdefault(what, []).append(step.name)
    known = {"agent": {a for o in offers for a in o.agents}, "label": {x for o in offers for x in o.labels}}
    unknown = {(kind, name): who for (kind, name), who in asked.items() if name not in known[kind]}
    warnings = [_unknown(kind, name, known[kind], who) for (kind, name), who in unknown.items()]
    apart: dict[str, list[str]] = {}
    for step in steps:
        wanted = (step.agent or agent, frozenset(step.labels))
        kinds = [("agent", step.agent or ""), *(("label", label) for label in step.labels)]
        if wanted[1] and not any(kind in unknown for kind in kinds) and not _offered(*wanted, offers):
            labels = ", ".join(sorted(wanted[1]))
            apart.setdefault(f"no daemon has the agent {wanted[0]!r} and the labels {labels} together", []).append(
                step.name
            )
    return warnings + [f"{what}: {_waiting(who)}" for what, who in apart.items()]


def no_such_agent(agent: str, offers: Sequence[Offer]) -> list[str]:
    """A warning about an agent that a directive names and no daemon has."""
    known = {a for offer in offers for a in offer.agents}
    if not offers or agent in known:
        return []
    return [f"no daemon has the agent {agent!r}{_meant(agent, known)}: its tasks wait until one has"]


def _offered(agent: str, labels: frozenset[str], offers: Iterable[Offer]) -> bool:
    return any(labels <= set(offer.labels) and agent in offer.agents for offer in offers)


def _unknown(kind: str, name: str, known: Iterable[str], who: Sequence[str]) -> str:
    more = f" ({OFFERING})" if kind == "label" else ""
    return f"no daemon has the {kind} {name!r}{_meant(name, known)}: {_waiting(who)}{more}"


def _meant(name: str, known: Iterable[str]) -> str:
    listed = sorted(known)
    if near := nearest(name, listed):
        return f"; {near!r} is the nearest"
    return f"; there are {', '.join(listed)}" if listed else ""


def _waiting(who: Sequence[str]) -> str:
    names = ", ".join(map(repr, who[:MOST_NAMED])) + (
        f" and {len(who) - MOST_NAMED} more" if len(who) > MOST_NAMED else ""
    )
    return f"{names} {'wait' if len(who) > 1 else 'waits'} until one has"
