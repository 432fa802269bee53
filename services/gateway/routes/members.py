"""Members: who may do what in an owner."""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, delete, get, put
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import JSONBody, PathParameter

from services.gateway.access import ADMIN, VIEWER, Caller
from services.gateway.feed.held import Held
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.people import (
    LOCK_OWNER,
    MEMBER,
    MEMBERS,
    OTHER_ADMINS,
    PUT_MEMBER,
    REMOVE_MEMBER,
    Member,
)
from services.gateway.showing import show, show_all
from services.gateway.transactions import Change, Transaction
from shared.api.people import Me, MemberShown, MemberWish
from shared.api.tasks import Accepted
from shared.domain.ids import new_id
from shared.domain.names import PERSON_NAME
from shared.domain.roles import Role
from shared.messages.events import MemberChanged
from shared.store.database import Database, Reader

Person = Annotated[str, PathParameter(description="What the person is called.", schema_extra={"pattern": PERSON_NAME})]
_NAME = re.compile(PERSON_NAME, re.ASCII)


class _Place(msgspec.Struct, frozen=True):
    name: str = ""


@get("/v1/me", sync_to_thread=False, operation_id="showMe", opt=VIEWER, tags=["people"])
def me(caller: NamedDependency[Caller]) -> Me:
    """Whose the request's token is, in which owner, and what it may there."""
    return Me(owner=caller.owner_name, role=caller.role, person=caller.person, cluster=caller.cluster)


@get("/v1/members", operation_id="listMembers", opt=VIEWER, tags=["people"], response_headers=[NEXT])
async def list_members(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[MemberShown]]:
    """The owner's members, by name."""
    asked = MEMBERS(owner=caller.owner, after=after(cursor, _Place, _Place()).name, limit=limit + 1)
    found = show_all(MemberShown, await database.fetch(asked))
    return page(request, found, limit, lambda member: _Place(member.name))


@get("/v1/members/{person:str}", operation_id="showMember", opt=VIEWER, tags=["people"])
async def show_member(
    person: Person, caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> MemberShown:
    """One member."""
    return show(MemberShown, await _found(database, caller.owner, person))


@put("/v1/members/{person:str}", operation_id="putMember", opt=ADMIN, tags=["people"])
async def put_member(
    person: Person,
    data: JSONBody[MemberWish],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    held: NamedDependency[Held],
) -> Response[MemberShown]:
    """Make a person a member, or give a member another role. Their streams end at once, and begin anew with that."""
    if not _NAME.fullmatch(person):
        detail = f"{person[:40]!r} is no name for a person: letters, digits and `._@+-`, the first no sign"
        raise HTTPException(detail, status_code=422)
    async with change.begin("gateway.put_member") as begun:
        before = await _locked(begun, caller, person)
        if before is not None and data.role is not Role.ADMIN:
            await _refuse_last(begun, caller, before)
        begun.unit.execute(PUT_MEMBER(owner=caller.owner, id=new_id(), name=person, role=data.role))
        if before is None or before.role is not data.role:
            begun.unit.record(MemberChanged(owner=caller.owner_name, person=person, role=data.role))
            _end(begun, held, caller.owner, person)
        return begun.answer(show(MemberShown, await _found(begun.unit, caller.owner, person)))


@delete("/v1/members/{person:str}", status_code=200, operation_id="removeMember", opt=ADMIN, tags=["people"])
async def remove_member(
    person: Person,
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    held: NamedDependency[Held],
) -> Response[Accepted]:
    """Let a person be no member any more: their tokens end with it, at once. What they made stays."""
    async with change.begin("gateway.remove_member") as begun:
        before = await _locked(begun, caller, person)
        if before is None:
            raise _unknown(person)
        await _refuse_last(begun, caller, before)
        begun.unit.execute(REMOVE_MEMBER(owner=caller.owner, person=before.person_id))
        begun.unit.record(MemberChanged(owner=caller.owner_name, person=person, role=None))
        _end(begun, held, caller.owner, person)
        return begun.answer(Accepted(status="removed"))


async def _locked(begun: Transaction, caller: Caller, person: str) -> Member | None:
    """The member, while nobody else changes any of the owner's."""
    begun.unit.execute(LOCK_OWNER(owner=caller.owner))
    return next(iter(await begun.unit.fetch(MEMBER(owner=caller.owner, name=person))), None)


async def _refuse_last(begun: Transaction, caller: Caller, member: Member) -> None:
    """Raise HTTPException 409 for an owner's only admin, unless the cluster's administrator asks."""
    if caller.cluster or member.role is not Role.ADMIN:
        return
    if not await begun.unit.fetch_one(OTHER_ADMINS(owner=caller.owner, person=member.person_id)):
        detail = f"{member.name} is the only admin of {caller.owner_name}; make somebody else one first"
        raise HTTPException(detail, status_code=409)


def _end(begun: Transaction, held: Held, owner: UUID, person: str) -> None:
    async def end() -> None:
        held.end_member(owner, person)

    begun.unit.after_commit(end)


async def _found(reader: Reader, owner: UUID, person: str) -> Member:
    """The member. Raises NotFoundException."""
    for member in await reader.fetch(MEMBER(owner=owner, name=person)):
        return member
    raise _unknown(person)


def _unknown(person: str) -> NotFoundException:
    return NotFoundException(f"no member {person[:128]!r}; `makima member list` shows them")


ROUTES = (me, list_members, show_member, put_member, remove_member)
