"""Owners: made by the cluster's administrator, each with what it may use."""

from __future__ import annotations

import os
from uuid import UUID

import msgspec
from litestar import Response, get, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import JSONBody

from services.gateway.access import CLUSTER, VIEWER, Caller
from services.gateway.http.problems import AnsweredBefore, AnyRequest
from services.gateway.issuing import derived, keep
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.people import ADD_OWNER, LOCK_OWNER, OWNER, OWNERS, PUT_MEMBER, SET_LIMITS
from services.gateway.showing import show, show_all
from services.gateway.transactions import Change
from shared.api.people import NewOwner, OwnerLimits, OwnerMade, OwnerShown
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.roles import Role
from shared.messages.events import MemberChanged, OwnerChanged, SlotsFree
from shared.service.tokens import load_secret
from shared.store.database import Database, Reader, UnitOfWork

FIRST_TOKEN = "first"
"""What an owner's first token is called."""


class _Place(msgspec.Struct, frozen=True):
    name: str = ""


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the answer for whoever asks again: all but the token, which follows from `seed`."""

    owner: OwnerShown
    seed: str | None


@post("/v1/owners", operation_id="createOwner", opt=CLUSTER, tags=["people"])
async def create(
    data: JSONBody[NewOwner], change: NamedDependency[Change], settings: NamedDependency[Settings]
) -> Response[OwnerMade]:
    """Make an owner; with an admin, the person's token, once."""
    secret = load_secret(settings.home)
    try:
        async with change.begin("gateway.create_owner") as begun:
            owner = await _add(begun.unit, data)
            seed = await _first(begun.unit, owner, data, secret) if data.admin is not None else None
            made = _Made(owner=await _shown(begun.unit, owner), seed=seed)
            begun.answer(made)
    except AnsweredBefore as before:
        made = msgspec.convert(before.answer, _Made)
    token = derived(secret, made.seed) if made.seed is not None else None
    return Response(OwnerMade(**msgspec.structs.asdict(made.owner), token=token))


@get("/v1/owners", operation_id="listOwners", opt=CLUSTER, tags=["people"], response_headers=[NEXT])
async def list_owners(
    request: AnyRequest, database: NamedDependency[Database], cursor: Cursor = None, limit: Limit = 1000
) -> Response[list[OwnerShown]]:
    """The cluster's owners, by name."""
    found = await database.fetch(OWNERS(after=after(cursor, _Place, _Place()).name, limit=limit + 1))
    return page(request, show_all(OwnerShown, found), limit, lambda owner: _Place(owner.name))


@get("/v1/owner", operation_id="showOwner", opt=VIEWER, tags=["people"])
async def show_owner(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> OwnerShown:
    """The caller's owner, and what it may use."""
    return await _shown(database, caller.owner)


@patch("/v1/owner", operation_id="changeOwner", opt=CLUSTER, tags=["people"])
async def change_owner(
    data: JSONBody[OwnerLimits],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    settings: NamedDependency[Settings],
) -> Response[OwnerShown]:
    """Change what an owner may use. What runs goes on."""
    given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
    if "max_running" in given and caller.owner_name == settings.owner:
        detail = f"max_running of {settings.owner} is a setting of the cluster: `makima config set max_running N`"
        raise HTTPException(detail, status_code=409)
    async with change.begin("gateway.change_owner") as begun:
        begun.unit.execute(LOCK_OWNER(owner=caller.owner))
        now = await _shown(begun.unit, caller.owner)
        stays = {name: getattr(now, name) for name in data.__struct_fields__}
        begun.unit.execute(SET_LIMITS(owner=caller.owner, **{**stays, **given}))
        begun.unit.record(OwnerChanged(owner=caller.owner_name, changed=tuple(given)))
        begun.unit.record(SlotsFree(owner=caller.owner_name))  # what waited for that may go on
        return begun.answer(await _shown(begun.unit, caller.owner))


async def _add(unit: UnitOfWork, wanted: NewOwner) -> UUID:
    """The new owner. Raises HTTPException 409 when there is one of its name."""
    limits = {name: getattr(wanted, name) for name in OwnerLimits.__struct_fields__}
    for owner in await unit.fetch(ADD_OWNER(id=new_id(), name=wanted.name, **limits)):
        unit.record(OwnerChanged(owner=wanted.name, changed=("made",)))
        return owner
    raise HTTPException(f"there is an owner {wanted.name} already", status_code=409)


async def _first(unit: UnitOfWork, owner: UUID, wanted: NewOwner, secret: bytes) -> str:
    """Make the first admin a member, with a token; the seed that it follows from."""
    person = await unit.fetch_one(PUT_MEMBER(owner=owner, id=new_id(), name=wanted.admin, role=Role.ADMIN))
    unit.record(MemberChanged(owner=wanted.name, person=wanted.admin or "", role=Role.ADMIN))
    seed = os.urandom(32).hex()
    await keep(unit, derived(secret, seed), owner=owner, person=person, name=FIRST_TOKEN, role=Role.ADMIN, seconds=None)
    return seed


async def _shown(reader: Reader, owner: UUID) -> OwnerShown:
    found = await reader.fetch_one(OWNER(owner=owner))
    return show(OwnerShown, found)


ROUTES = (create, list_owners, show_owner, change_owner)
