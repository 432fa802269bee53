"""Daemons on other machines: invited, accepted, revoked."""

from __future__ import annotations

import hmac
import os
import re
import socket
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import JSONBody, PathParameter
from zmq.utils import z85

from services.gateway.access import ADMIN, Caller
from services.gateway.http.problems import AnsweredBefore, AnyRequest
from services.gateway.link.admitted import AdmittedFile
from services.gateway.link.enrolling import Enrolling, Refused
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.daemon_keys import ACCEPT_KEY, ADD_KEY, KEY_BY_FINGERPRINT, KEYS, KEYS_NAMED, DaemonKey
from services.gateway.transactions import Change
from shared.api.daemon_keys import AcceptWish, DaemonKeyShown, InvitationShown, NewInvitation
from shared.bus.link import Invitation, public_of, server_keys
from shared.bus.link import fingerprint as fingerprint_of
from shared.config import ConfigError, Settings
from shared.domain.statuses import KeyStatus
from shared.messages.events import SlotsFree
from shared.service.tokens import load_secret
from shared.store.database import Database

Fingerprint = Annotated[
    str,
    PathParameter(
        description="The key's fingerprint, as 1a2b-3c4d-5e6f-7081.",
        schema_extra={"pattern": "^[0-9a-f]{4}(-[0-9a-f]{4}){3}$"},
    ),
]
_FINGERPRINT = re.compile("[0-9a-f]{4}(-[0-9a-f]{4}){3}", re.ASCII)
ANYWHERE = frozenset({"0.0.0.0", "*", "[::]", "::", ""})
"""Hosts to listen on that are no address of this machine's."""


class _Place(msgspec.Struct, frozen=True):
    key: str = ""


class _Invited(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an invitation for whoever asks for it again: all but its secret, which follows from `seed`."""

    address: str
    seed: str
    name: str | None
    expires_at: datetime


@post("/v1/daemons/invitations", status_code=201, operation_id="inviteDaemon", opt=ADMIN, tags=["daemons"])
async def invite(
    data: JSONBody[NewInvitation],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    settings: NamedDependency[Settings],
    admitted_file: NamedDependency[AdmittedFile],
) -> Response[InvitationShown]:
    """Invite a daemon on another machine: a line that lets it join, once."""
    owner = caller.owner
    address = _address(settings)
    _refuse_bad_labels(data.labels)
    try:
        async with change.begin("gateway.invite") as begun:
            enrolling = Enrolling(begun.unit, owner, caller.owner_name)
            if data.name is not None:
                await _named(enrolling, data.name)
            seed = os.urandom(32).hex()
            key = public_of(_secret(settings, seed))
            added = await begun.unit.fetch_one(
                ADD_KEY(
                    key=key, owner=owner, name=data.name, status=KeyStatus.INVITED, labels=data.labels,
                    slots=data.slots, joined_by=None, seconds=float(data.expires_seconds),
                )
            )  # fmt: skip
            enrolling.say(key, data.name, KeyStatus.INVITED, "a person invited it")
            assert added.expires_at is not None
            invited = _Invited(address=address, seed=seed, name=data.name, expires_at=added.expires_at)
            begun.unit.after_commit(admitted_file.take_effect)
            begun.answer(invited)
    except AnsweredBefore as before:
        invited = msgspec.convert(before.answer, _Invited)
    return Response(_told(settings, invited))


@get("/v1/daemons/keys", operation_id="listDaemonKeys", opt=ADMIN, tags=["daemons"], response_headers=[NEXT])
async def list_keys(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[DaemonKeyShown]]:
    """The keys of daemons on other machines, and of invitations."""
    place = after(cursor, _Place, _Place()).key
    found = await database.fetch(KEYS(owner=caller.owner, after=place, limit=limit + 1))
    by_fingerprint = {fingerprint_of(key.public_key): key.public_key for key in found}
    return page(request, [_shown(key) for key in found], limit, lambda key: _Place(by_fingerprint[key.fingerprint]))


@post(
    "/v1/daemons/keys/{fingerprint:str}/accept",
    status_code=200,
    operation_id="acceptDaemonKey",
    opt=ADMIN,
    tags=["daemons"],
)
async def accept(
    fingerprint: Fingerprint,
    data: JSONBody[AcceptWish],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    admitted_file: NamedDependency[AdmittedFile],
) -> Response[DaemonKeyShown]:
    """Accept a key that asks: whoever has it is a daemon of this cluster from now on."""
    owner = caller.owner
    async with change.begin("gateway.accept_key") as begun:
        enrolling = Enrolling(begun.unit, owner, caller.owner_name)
        key = await _found(enrolling, fingerprint)
        if key.status is not KeyStatus.ASKING or key.expired:
            state = "expired" if key.expired else key.status
            raise HTTPException(f"{fingerprint} doesn't ask to be accepted: it is {state}", status_code=409)
        name = data.name or key.name or ""
        await _named(enrolling, name)
        await _one_more(enrolling)
        accepted = await begun.unit.fetch_one(
            ACCEPT_KEY(key=key.public_key, name=name, labels=[], slots=data.slots, joined_by=None)
        )
        enrolling.say(key.public_key, name, KeyStatus.ACCEPTED, "a person accepted it")
        begun.unit.after_commit(admitted_file.take_effect)
        return begun.answer(_shown(accepted))


@post(
    "/v1/daemons/keys/{fingerprint:str}/revoke",
    status_code=200,
    operation_id="revokeDaemonKey",
    opt=ADMIN,
    tags=["daemons"],
)
async def revoke(
    fingerprint: Fingerprint,
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    settings: NamedDependency[Settings],
    admitted_file: NamedDependency[AdmittedFile],
) -> Response[DaemonKeyShown]:
    """Let a key connect no more. A daemon's tasks are lost with it, and run again elsewhere."""
    owner = caller.owner
    change.even_when_the_disk_is_full(settings)
    async with change.begin("gateway.revoke_key") as begun:
        enrolling = Enrolling(begun.unit, owner, caller.owner_name)
        key = await _found(enrolling, fingerprint)
        enrolling.revoke(await _with_those_it_replaces(enrolling, key), "a person revoked it")
        begun.unit.record(SlotsFree())
        begun.unit.after_commit(admitted_file.take_effect)
        return begun.answer(_shown(await _found(enrolling, fingerprint)))


async def _with_those_it_replaces(enrolling: Enrolling, key: DaemonKey) -> list[DaemonKey]:
    """All by which a daemon could still connect, where the key is its newest; none where it can't connect anyway."""
    if key.status is KeyStatus.REVOKED:
        return []
    if key.status is KeyStatus.ACCEPTED and key.expires_at is None:
        return await enrolling.unit.fetch(KEYS_NAMED(owner=enrolling.owner, name=key.name))
    return [key]


async def _found(enrolling: Enrolling, of: str) -> DaemonKey:
    """The owner's key of this fingerprint. Raises NotFoundException."""
    digest = of.replace("-", "") if _FINGERPRINT.fullmatch(of) else ""
    key = await enrolling.unit.fetch_first(KEY_BY_FINGERPRINT(owner=enrolling.owner, digest=digest))
    if key is None:
        raise NotFoundException(f"no key has the fingerprint {of[:40]}; `makima daemon keys` shows them")
    return key


async def _named(enrolling: Enrolling, name: str) -> None:
    """Raise HTTPException 409 for a name that is taken."""
    try:
        await enrolling.refuse_name(name)
    except Refused as error:
        raise HTTPException(str(error), status_code=409) from None


async def _one_more(enrolling: Enrolling) -> None:
    """Raise HTTPException 409 where the owner may have no more daemons."""
    try:
        await enrolling.refuse_more()
    except Refused as error:
        raise HTTPException(str(error), status_code=409) from None


def _refuse_bad_labels(labels: list[str]) -> None:
    bad = [label for label in labels if not label.strip() or not label.isprintable() or "," in label]
    if bad:
        raise HTTPException(f"{bad[0][:40]!r} is no label: it is empty, or has a comma or a sign", status_code=422)


def _address(settings: Settings) -> str:
    """Where other machines reach the broker. Raises HTTPException 409 when they can't."""
    if settings.link is None:
        raise HTTPException(
            'daemons of other machines can\'t connect: set `link`, as link = "0.0.0.0:8421", and restart makima',
            status_code=409,
        )
    if settings.link_address is not None:
        return settings.link_address
    host, _, port = settings.link.rpartition(":")
    return f"{socket.gethostname() if host in ANYWHERE else host}:{port}"


def _secret(settings: Settings, seed: str) -> str:
    """An invitation's secret key: of this cluster's secret and what is kept of it, so that no row holds it."""
    secret = hmac.digest(load_secret(settings.home), f"invitation {seed}".encode(), "sha256")
    return z85.encode(secret).decode()


def _told(settings: Settings, invited: _Invited) -> InvitationShown:
    """The invitation with its line. Raises HTTPException 503 while the broker's key can't be read."""
    try:
        server = server_keys(settings.home).public
    except (ConfigError, OSError) as error:
        raise HTTPException(f"the broker's key can't be read: {error}", status_code=503) from None
    secret = _secret(settings, invited.seed)
    invitation = Invitation(address=invited.address, server=server, secret=secret, name=invited.name)
    return InvitationShown(
        line=invitation.line(),
        name=invited.name,
        fingerprint=fingerprint_of(public_of(secret)),
        expires_at=invited.expires_at,
    )


def _shown(key: DaemonKey) -> DaemonKeyShown:
    return DaemonKeyShown(
        fingerprint=fingerprint_of(key.public_key),
        name=key.name,
        status=key.status,
        labels=key.labels,
        slots=key.slots,
        created_at=key.created_at,
        changed_at=key.changed_at,
        expires_at=key.expires_at,
    )


ROUTES = (invite, list_keys, accept, revoke)
