"""The table "who writes what": for each service the rows that are its own. What isn't here isn't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from shared.domain.statuses import DIRECTIVE_TRANSITIONS

Row = dict[str, Any]


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One row that was written: its values before (None when inserted) and after (None when deleted)."""

    seq: int
    xact: str
    by: str
    table: str
    op: str
    before: Row | None
    after: Row | None

    @property
    def changed(self) -> set[str]:
        """The columns whose values differ."""
        before, after = self.before or {}, self.after or {}
        return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}

    @property
    def move(self) -> tuple[str | None, str | None]:
        """The status before and after."""
        return (self.before or {}).get("status"), (self.after or {}).get("status")

    def __str__(self) -> str:
        what = sorted(self.changed) if self.op == "UPDATE" else self.after or self.before
        return f"{self.op} {self.table} {what} {self.move}"


class Owns(msgspec.Struct, frozen=True):
    """Which writes of one kind are a service's own."""

    op: str
    condition: Callable[[Write], bool] = lambda _: True

    def __call__(self, write: Write) -> bool:
        """Whether this one is."""
        return write.op == self.op and self.condition(write)


def inserts(**columns: str) -> Owns:
    """Insertions; only of rows with one of the values a column, separated by spaces."""
    return Owns("INSERT", lambda w: all((w.after or {})[n] in v.split() for n, v in columns.items()))


def updates(columns: str, moves: str | None = None) -> Owns:
    """Updates of these columns (and the version); of the status only in these moves, written `a>b`."""
    allowed = {*columns.split(), "version"}

    def owns(w: Write) -> bool:
        before, after = w.move
        moved = before != after and f"{before}>{after}" not in (moves or "").split()
        return w.changed <= allowed | ({"status"} if moves else set()) and not moved

    return Owns("UPDATE", owns)


deletes = Owns("DELETE")
"""Deletions."""


_ENDS = "failed cancelled completed"
_MONITORED = " ".join(
    f"{before}>{after}"
    for before in ("pending", "starting", "running", "paused")
    for after in ("running", "paused", "pending", *_ENDS.split())
    if (before, after) != ("pending", "running")
)

OWN: Mapping[str, Mapping[str, tuple[Owns, ...]]] = {
    "planner": {
        "task": (inserts(kind="plan", status="pending"),),
        "plan_request": (updates("served_by"),),
    },
    "executor": {
        "task": (
            inserts(kind="step", status="starting"),
            updates(
                "waiting_reason refusal dispatched_at lease_until not_before refused_attempt refused_since",
                "pending>starting starting>pending",
            ),
        ),
    },
    "monitor": {
        "task": (
            updates(
                "attempt failures losses not_before daemon branch head base_commit kept_branch commits result session "
                "outcome reason cost_usd tokens lease_until ended_at waiting_reason gave_up cancel_asked cancel_cause "
                "agent",
                _MONITORED,
            ),
        ),
        "attempt": (
            inserts(),
            updates("daemon agent session branch ended_at outcome reason tail exit_code cost_usd tokens"),
        ),
        "owner_spending": (inserts(), updates("cost_usd")),
        "task_output": (inserts(), deletes),
        "task_message": (updates("delivered_at delivered_as"),),
        "daemon": (
            inserts(),
            updates("labels agents capacity connected connected_at draining drains refuses last_seen"),
        ),
        "event": (deletes,),
        "step": (
            updates(
                "task_id branch head outcome files_changed reason completed_at held_by removed_by skipped_for",
                "pending>ready ready>running ready>completed ready>failed running>completed running>failed "
                "running>ready pending>skipped ready>skipped",
            ),
            deletes,
        ),
        "step_dependency": (deletes,),
        "directive": (
            updates(
                "generation pause_reason paused_for awaited_plan status_at",
                "active>idle active>paused idle>paused awaiting_approval>paused active>awaiting_approval",
            ),
        ),
        "plan_request": (inserts(reason="failure"), updates("served_by"), deletes),
        "work_order": (updates("", "open>in_progress in_progress>open in_progress>done done>in_progress open>done"),),
        "step_order": (inserts(), updates("held_by"), deletes),
        "question": (updates("answer settled settled_at"),),
    },
    "completer": {
        "task": (inserts(kind="completion verification", status="pending"), updates("settled")),
        "directive": (
            updates(
                "pr_branch pr_url pr_state pr_round pr_etag pr_look_at pr_looks delivered_at delivered_heads "
                "delivery_outcome verified delivery_fixes left_out pause_reason paused_for status_at",
                "idle>completed idle>paused idle>active",
            ),
        ),
        "step": (updates("delivered branch_removed round"), inserts(status="ready")),
        "step_dependency": (inserts(),),
    },
    "gateway": {
        "owner": (
            inserts(),
            updates("token_hash max_running directives orders max_cost_usd_a_day max_daemons"),
        ),
        "person": (inserts(), updates("name issuer subject")),
        "member": (inserts(), updates("role"), deletes),
        "person_token": (inserts(), updates("last_used_at revoked_at"), deletes),
        "directive": (
            inserts(status="draft"),
            updates(
                "title goal pause_reason paused_for awaited_plan status_at generation pr_branch pr_url pr_state "
                "pr_look_at agent on_failure approve_plan max_parallel max_attempts max_cost_usd max_tokens deadline "
                "stop_now base_branch check_command merge_into_base",
                " ".join(f"{b}>{a}" for b, after in DIRECTIVE_TRANSITIONS.items() for a in after if a != "idle"),
            ),
        ),
        "goal_history": (inserts(),),
        "plan_request": (inserts(reason="goal orders user"), updates("served_by"), deletes),
        "step": (
            inserts(status="pending"),
            updates(
                "held_by removed_by reason skipped_for name description task_plan files agent model labels",
                "pending>ready ready>pending skipped>pending failed>pending pending>skipped ready>skipped "
                "failed>skipped",
            ),
            deletes,
        ),
        "step_dependency": (inserts(), deletes),
        "task": (updates("cancel_asked cancel_cause gave_up"), updates("agent session not_before")),
        "work_order": (
            inserts(status="open"),
            updates(
                "directive_id",
                "open>cancelled in_progress>cancelled open>in_progress open>done in_progress>open in_progress>done "
                "done>in_progress done>open",
            ),
        ),
        "step_order": (inserts(), updates("held_by"), deletes),
        "question": (inserts(), updates("answer settled settled_at")),
        "task_message": (inserts(),),
        "daemon": (updates("drain_asked"),),
        "daemon_key": (
            inserts(status="invited asking accepted"),
            updates(
                "name labels slots joined_by expires_at changed_at",
                "invited>used asking>accepted invited>revoked used>revoked asking>revoked accepted>revoked",
            ),
            deletes,
        ),
        "idempotency_key": (inserts(), updates("answer headers"), deletes),
    },
}
"""Beside these, every service adds to the audit log."""
