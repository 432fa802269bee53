"""What a committed batch came to: counted, and a line for what ended and for each directive that changed."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.monitor.decisions import Decision
from shared.domain.statuses import ENDED_TASK, AttemptOutcome
from shared.messages.events import DirectiveChanged, Event
from shared.metrics import ATTEMPTS, COST, TASKS, TOKENS

log = structlog.get_logger()


def tell(decisions: Sequence[Decision], events: Sequence[Event]) -> None:
    """Count and log decisions that have been committed, and the events that followed from them."""
    ended = [decision for decision in decisions if decision.verdict.ended]
    for decision in ended:
        _count(decision)
    if well := [d for d in ended if d.verdict.ended is AttemptOutcome.SUCCEEDED]:
        log.info("tasks done", tasks=[d.task.id for d in well], directives=list({d.task.directive for d in well}))
    for decision in ended:
        if decision.verdict.ended is not AttemptOutcome.SUCCEEDED:
            _tell_setback(decision)
    for event in events:
        if isinstance(event, DirectiveChanged):
            log.info("directive changed", directive=event.directive, status=event.status, reason=event.reason)


def _tell_setback(decision: Decision) -> None:
    task, verdict = decision.task, decision.verdict
    log.info(
        "attempt ended",
        task=task.id,
        attempt=decision.attempt,
        directive=task.directive,
        outcome=verdict.ended,
        task_is=verdict.status,
        reason=decision.reason,
    )


def _count(decision: Decision) -> None:
    kind, verdict = decision.task.kind, decision.verdict
    ATTEMPTS.add(kind, verdict.ended or "")
    if verdict.status in ENDED_TASK:
        TASKS.add(kind, verdict.status)
    if usd := max(decision.cost_usd, decision.task.spent_usd):  # who lost it heard no last report
        COST.add(kind, by=usd)
    if tokens := max(decision.tokens, decision.task.spent_tokens):
        TOKENS.add(kind, by=tokens)
