"""What every change of a directive takes: its lock, its activation, and what may run at once because of it."""

from __future__ import annotations

from uuid import UUID

from litestar.exceptions import NotFoundException

from services.gateway.access import SQL, Caller
from services.gateway.problems import VersionConflict
from shared.domain.ids import new_id
from shared.domain.statuses import DirectiveStatus
from shared.messages.events import DirectiveChanged, PlanRequested, StepReady
from shared.store.database import Row, UnitOfWork


async def lock(unit: UnitOfWork, caller: Caller, directive: UUID, version: int | None = None) -> Row:
    """The owner's directive, locked until the unit of work ends.

    Raises NotFoundException, and VersionConflict when it isn't at the version that the caller has seen.
    """
    rows = await unit.rows(SQL["lock"], {"id": directive, "owner": caller.owner})
    if not rows:
        raise NotFoundException(f"no directive {directive}")
    if version is not None and rows[0]["version"] != version:
        raise VersionConflict(version, rows[0]["version"], f"directive {directive}")
    return rows[0]


async def reopen(unit: UnitOfWork, row: Row) -> None:
    """New steps reopen what was idle or completed; an active directive may have more to run at once."""
    if row["status"] in (DirectiveStatus.IDLE, DirectiveStatus.COMPLETED):
        await activate(unit, row["id"])
    elif row["status"] == DirectiveStatus.ACTIVE:
        await make_ready(unit, row["id"])


async def activate(unit: UnitOfWork, directive: UUID) -> None:
    """Make it active; with a plan request when it has no steps yet."""
    await unit.rows(SQL["set_status"], {"id": directive, "status": "active", "reason": None})
    unit.record(DirectiveChanged(directive=directive, status="active"))
    if (await unit.rows(SQL["needs_plan"], {"id": directive}))[0]["needed"]:
        await unit.rows(SQL["request_plan"], {"id": new_id(), "directive": directive, "reason": "goal"})
        unit.record(PlanRequested(directive=directive, reason="goal"))
    await make_ready(unit, directive)


async def make_ready(unit: UnitOfWork, directive: UUID) -> None:
    """Make ready what may run now (rule 1)."""
    if ready := await unit.rows(SQL["make_ready"], {"directive": directive}):
        unit.record(StepReady(directive=directive, steps=tuple(r["id"] for r in ready)))
