"""Rows in the shape of their answers: what is shown of them, and how much at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

import msgspec
from litestar.exceptions import NotFoundException

from services.gateway.access import Caller
from services.gateway.rows.directives import SHOW, STEPS
from shared.api.directives import DirectiveListed, DirectiveShown
from shared.api.steps import StepShown
from shared.domain.masking import Mask
from shared.store.database import Reader

A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R")
_MASK = Mask()


def show(shape: type[A], row: object) -> A:
    """A row in the shape of its answer, field by field."""
    return msgspec.convert(row, shape, from_attributes=True)


def show_all(shape: type[A], rows: Iterable[R]) -> list[A]:
    """Rows in the shape of their answers."""
    return [show(shape, row) for row in rows]


async def shown(reader: Reader, caller: Caller, directive: UUID) -> DirectiveShown:
    """The directive with its steps. Raises NotFoundException."""
    found, steps = await reader.fetch_all(SHOW(id=directive, owner=caller.owner), STEPS(id=directive))
    if not found:
        raise NotFoundException(f"no directive {directive}")
    told = {field: getattr(found[0], field) for field in found[0].__struct_fields__}
    return masked(DirectiveShown(**told, steps=show_all(StepShown, steps)))


D = TypeVar("D", DirectiveShown, DirectiveListed)


def masked(directive: D) -> D:
    """The same, with no password in the repository's address."""
    url = directive.repository_url
    return directive if url is None else msgspec.structs.replace(directive, repository_url=_MASK(url))
