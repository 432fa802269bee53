"""Tokens of people: each member's own; of the others, an admin's to make and to revoke."""

from __future__ import annotations

import os
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, JSONBody, QueryParameter

from services.gateway.access import VIEWER, Caller
from services.gateway.feed.held import Held
from services.gateway.http.problems import AnsweredBefore, AnyRequest
from services.gateway.issuing import derived, keep
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.people import MEMBER, REVOKE_TOKEN, TOKEN, TOKENS, Member, Token
from services.gateway.showing import show, show_all
from services.gateway.texts import refuse_bad_text
from services.gateway.transactions import Change, Transaction
from shared.api.people import NewToken, TokenMade, TokenShown
from shared.api.tasks import Accepted
from shared.config import Settings
from shared.domain.roles import Role
from shared.messages.events import REVOKED, TokenChanged
from shared.service.tokens import load_secret
from shared.store.database import Database, UnitOfWork

OfPerson = Annotated[str | None, QueryParameter(description="Only this member's.")]


class _Place(msgspec.Struct, frozen=True):
    id: UUID | None = None


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the answer for whoever asks again: all but the token, which follows from `seed`."""

    shown: TokenShown
    seed: str


@post("/v1/tokens", operation_id="createToken", opt=VIEWER, tags=["people"])
async def create(
    data: JSONBody[NewToken],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    settings: NamedDependency[Settings],
) -> Response[TokenMade]:
    """Make a token, which is told once. It may no more than its maker's, and no more than its person."""
    refuse_bad_text("name", data.name)
    secret, person = load_secret(settings.home), _meant(caller, data.person)
    try:
        async with change.begin("gateway.create_token") as begun:
            member = await _member(begun.unit, caller, person)
            seed = os.urandom(32).hex()
            kept = await keep(
                begun.unit, derived(secret, seed), owner=caller.owner, person=member.person_id, name=data.name,
                role=_role(caller, member, data.role), seconds=_seconds(data),
            )  # fmt: skip
            made = _Made(shown=show(TokenShown, kept), seed=seed)
            begun.answer(made)
    except AnsweredBefore as before:
        made = msgspec.convert(before.answer, _Made)
    return Response(TokenMade(**msgspec.structs.asdict(made.shown), token=derived(secret, made.seed)))


@get("/v1/tokens", operation_id="listTokens", opt=VIEWER, tags=["people"], response_headers=[NEXT])
async def list_tokens(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    person: OfPerson = None,
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[TokenShown]]:
    """The caller's own tokens that are good now; to an admin, all of the owner's."""
    of = person if _manages(caller) else _meant(caller, person)
    asked = TOKENS(owner=caller.owner, person=of, after=after(cursor, _Place, _Place()).id, limit=limit + 1)
    found = show_all(TokenShown, await database.fetch(asked))
    return page(request, found, limit, lambda token: _Place(token.id))


@delete("/v1/tokens/{token:uuid}", status_code=200, operation_id="revokeToken", opt=VIEWER, tags=["people"])
async def revoke(
    token: FromPath[UUID],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    settings: NamedDependency[Settings],
    held: NamedDependency[Held],
) -> Response[Accepted]:
    """Let a token be good for nothing, at once; also the one that asks for it."""
    change.even_when_the_disk_is_full(settings)
    async with change.begin("gateway.revoke_token") as begun:
        found = await _found(begun.unit, caller, token)
        begun.unit.execute(REVOKE_TOKEN(token=token))
        begun.unit.record(
            TokenChanged(owner=caller.owner_name, person=found.person, token=token, name=found.name, status=REVOKED)
        )
        _end(begun, held, token)
        return begun.answer(Accepted(status="revoked"))


def _manages(caller: Caller) -> bool:
    """Whether others' tokens are the caller's to see, make and revoke."""
    return caller.role.includes(Role.ADMIN)


def _meant(caller: Caller, person: str | None) -> str:
    """Whose token is meant. Raises PermissionDeniedException for another's, HTTPException 422 when it is nobody's."""
    person = person or caller.person
    if person is None:
        raise HTTPException("the cluster's own token is nobody's: say whose token, by `person`", status_code=422)
    if person != caller.person and not _manages(caller):
        raise PermissionDeniedException(f"another member's tokens take the role {Role.ADMIN}")
    return person


async def _member(unit: UnitOfWork, caller: Caller, person: str) -> Member:
    """The member. Raises NotFoundException."""
    for member in await unit.fetch(MEMBER(owner=caller.owner, name=person)):
        return member
    raise NotFoundException(f"no member {person[:128]!r}; `makima member list` shows them")


def _role(caller: Caller, member: Member, wanted: Role | None) -> Role:
    """What a token may at most. Raises PermissionDeniedException for more than its maker may, 409 than its person."""
    if wanted is None:
        return member.role if caller.role.includes(member.role) else caller.role
    if not caller.role.includes(wanted):
        raise PermissionDeniedException(f"this token has the role {caller.role}: it makes none with the role {wanted}")
    if not member.role.includes(wanted):
        detail = f"{member.name} has the role {member.role}: a token of theirs can't have the role {wanted}"
        raise HTTPException(detail, status_code=409)
    return wanted


def _seconds(wanted: NewToken) -> float | None:
    return None if wanted.expires_seconds is None else float(wanted.expires_seconds)


async def _found(unit: UnitOfWork, caller: Caller, token: UUID) -> Token:
    """A good token that the caller may revoke. Raises NotFoundException: of others' tokens nobody is told."""
    for found in await unit.fetch(TOKEN(owner=caller.owner, token=token)):
        if found.person == caller.person or _manages(caller):
            return found
    raise NotFoundException(f"no token {token}; `makima token list` shows them")


def _end(begun: Transaction, held: Held, token: UUID) -> None:
    async def end() -> None:
        held.end_token(token)

    begun.unit.after_commit(end)


ROUTES = (create, list_tokens, revoke)
