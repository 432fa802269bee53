"""What changes of a directive share: its lock, its activation, what is due or ended or may run because of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

import msgspec
from litestar.exceptions import HTTPException, NotFoundException

from services.gateway.access import SQL, Caller
from services.gateway.problems import VersionConflict
from shared.domain.ids import new_id
from shared.domain.plans import MOST_TEXT_BYTES
from shared.domain.statuses import DirectiveStatus
from shared.messages.events import DirectiveChanged, OrderChanged, PlanRequested, StepReady, StepRemoved, TaskChanged
from shared.store.database import Row, UnitOfWork


async def lock(unit: UnitOfWork, caller: Caller, directive: UUID, version: int | None = None) -> Row:
    """The owner's directive, locked until the unit of work ends.

    Raises NotFoundException, and VersionConflict when it isn't at the version that the caller has seen.
    """
    rows = await unit.rows(SQL["lock"], {"id": directive, "owner": caller.owner})
    if not rows:
        raise NotFoundException(f"no directive {directive}")
    if version is not None and rows[0]["version"] != version:
        since = await unit.rows(SQL["changes_since"], {"id": directive, "version": version})
        what = [f"{', '.join(row['changed'])} at {row['at']:%H:%M:%S}" for row in since if row["changed"]]
        now = f"it is {rows[0]['status']} now"
        raise VersionConflict(version, rows[0]["version"], f"directive {directive}", "; ".join([*what, now]))
    return rows[0]


async def reopen(unit: UnitOfWork, row: Row) -> None:
    """New steps reopen what was idle or completed; an active directive may have more to run at once."""
    if row["status"] in (DirectiveStatus.IDLE, DirectiveStatus.COMPLETED):
        await activate(unit, row["id"])
    elif row["status"] == DirectiveStatus.ACTIVE:
        await make_ready(unit, row["id"])


async def activate(unit: UnitOfWork, directive: UUID) -> None:
    """Make it active (awaiting approval, while a plan waits for it); with a plan request when it has no steps yet."""
    (row,), (plan,), ready = await unit.rows_of_each(
        (SQL["activate"], {"id": directive}),
        (SQL["needs_plan"], {"id": directive}),
        (SQL["make_ready"], {"directive": directive}),
    )
    unit.record(DirectiveChanged(directive=directive, status=row["status"], version=row["version"]))
    if plan["needed"]:
        await request_plan(unit, directive, "goal", {})
    _made_ready(unit, directive, ready)


async def make_ready(unit: UnitOfWork, directive: UUID) -> None:
    """Make ready what may run now (rule 1)."""
    _made_ready(unit, directive, await unit.rows(SQL["make_ready"], {"directive": directive}))


def _made_ready(unit: UnitOfWork, directive: UUID, rows: Sequence[Row]) -> None:
    if rows:
        unit.record(StepReady(directive=directive, steps=tuple(r["id"] for r in rows)))


async def request_plan(unit: UnitOfWork, directive: UUID, reason: str, payload: dict[str, str]) -> None:
    """Planning is due, and why."""
    told = msgspec.json.encode(payload).decode()
    await unit.rows(SQL["request_plan"], {"id": new_id(), "directive": directive, "reason": reason, "payload": told})
    unit.record(PlanRequested(directive=directive, reason=reason))


async def withdraw(unit: UnitOfWork, row: Row, why: str) -> None:
    """A planning that is under way is cancelled for good, a plan that waits for approval withdrawn. What they were to
    serve is put back (rule 3)."""
    await _ask_for_ends(unit, SQL["supersede"], row["id"], why)
    if row["awaited_plan"] is not None:
        gone = await unit.rows(SQL["withdraw_plans"], {"tasks": [row["awaited_plan"]]})
        unit.record(*(StepRemoved(directive=g["directive_id"], step=g["id"]) for g in gone))


async def stop_tasks(unit: UnitOfWork, directive: UUID, why: str) -> None:
    """Whatever runs is ended for now: its steps run again when the directive goes on."""
    await _ask_for_ends(unit, SQL["stop_tasks"], directive, why)


async def end_tasks(unit: UnitOfWork, directive: UUID, why: str) -> None:
    """Whatever is live of an archived directive is ended."""
    await _ask_for_ends(unit, SQL["end_tasks"], directive, why)


async def _ask_for_ends(unit: UnitOfWork, statement: LiteralString, directive: UUID, why: str) -> None:
    for row in await unit.rows(statement, {"directive": directive, "why": why}):
        unit.record(
            TaskChanged(
                directive=directive,
                task=row["id"],
                attempt=row["attempt"],
                kind=row["kind"],
                status=row["status"],
                reason=f"cancel asked: {why}",
                asked=True,
            )
        )


async def changed(unit: UnitOfWork, directive: UUID, *what: str) -> None:
    """Say what a person changed of a directive, and its version after it."""
    row = (await unit.rows(SQL["version"], {"id": directive}))[0]
    unit.record(
        DirectiveChanged(directive=directive, status=row["status"], changed=tuple(what), version=row["version"])
    )


async def settle_orders(unit: UnitOfWork, steps: Sequence[UUID]) -> None:
    """Bring the orders that these steps serve up to date."""
    if steps:
        rows = await unit.rows(SQL["settle_orders"], {"steps": list(steps)})
        unit.record(*(OrderChanged(directive=r["directive_id"], order=r["id"], status=r["status"]) for r in rows))


def refuse_bad_text(name: str, text: str) -> None:
    """Raise HTTPException 422 for a text that is empty, too long, or can't be stored."""
    if not text.strip():
        raise HTTPException(f"the {name} is empty", status_code=422)
    if (size := len(text.encode(errors="replace"))) > MOST_TEXT_BYTES:
        detail = f"the {name} has {size} bytes, at most {MOST_TEXT_BYTES}; commit what is long, and name its path"
        raise HTTPException(detail, status_code=422)
    if "\0" in text:
        raise HTTPException(f"the {name} holds a NUL byte; remove it", status_code=422)
