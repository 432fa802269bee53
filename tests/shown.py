"""Directives and steps as the gateway shows them, built from what a test is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec

from shared.api.directives import DirectiveShown
from shared.api.events import EventShown
from shared.api.steps import StepShown

START = datetime(2026, 1, 1, tzinfo=UTC)
_SPACE = UUID(int=0)


def named(name: str) -> UUID:
    """The id of what is called so."""
    return uuid5(_SPACE, name)


def step(name: str, status: str = "pending", *needs: str, **more: Any) -> StepShown:
    """A step with a task."""
    told = {
        "id": named(name), "number": 1, "name": name, "status": status, "description": "", "task_plan": "", "files": [],
        "agent": None, "model": None, "labels": [],
        "generation": 0, "order_index": 0, "depends_on": [named(need) for need in needs], "proposed": None,
        "outcome": "", "files_changed": [], "orders": [], "task_id": named(f"task {name}"), "task_status": None,
        "branch": None, "attempts": 1, "daemon": None, "reason": None, "waiting_reason": None, "started_at": None,
        "ended_at": None, **more,
    }  # fmt: skip
    return msgspec.convert(told, StepShown)


def directive(*steps: StepShown, status: str = "active", standing: str | None = None, **more: Any) -> DirectiveShown:
    """A directive; it stands as its status says, where that is no other."""
    told = {
        "id": named("directive"), "number": 12, "title": "Job", "goal": "", "status": status,
        "standing": standing or {"active": "running"}.get(status, status.replace("_", " ")), "pause_reason": None,
        "repository_url": None, "base_branch": None, "agent": None, "on_failure": "replan", "max_parallel": 4,
        "max_attempts": 2, "approve_plan": False, "max_cost_usd": None, "max_tokens": None, "deadline": None,
        "stop_now": False, "merge_into_base": False, "paused_for": None, "awaited_plan": None, "awaited": [],
        "pr_branch": None, "pr_url": None, "delivery_outcome": None, "generation": 0, "version": 1,
        "created_at": START, "cost_usd": 0.0, "tokens": 0, "steps": [], **more,
    }  # fmt: skip
    return msgspec.structs.replace(msgspec.convert(told, DirectiveShown), steps=list(steps))


def event(event_type: str, second: int = 0, seq: int | None = 1, **body: Any) -> EventShown:
    """What happened so many seconds after the start."""
    at = START.replace(second=second)
    return EventShown(seq=seq, type=event_type, directive_id=named("directive"), body=body, at=at)
