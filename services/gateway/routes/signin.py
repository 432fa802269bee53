"""Signing in at an OpenID provider: what a browser is led through, and what a command line asks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import JSONBody

from services.gateway.access import ANYBODY
from services.gateway.http.problems import AnyRequest
from services.gateway.issuing import issue
from services.gateway.rows.keys import CLAIM_KEY
from services.gateway.rows.signin import MEMBERSHIP
from services.gateway.signin import pages
from services.gateway.signin.membership import memberships
from services.gateway.signin.sealing import SECONDS, Started
from services.gateway.signin.signing import SignIn, Wish, leading_back
from services.gateway.signin.troubles import AGAIN, Refused
from shared.api.signin import Redeemed, Redemption, SignInShown
from shared.domain.challenges import CHALLENGE, mark_of
from shared.store.database import Database

log = structlog.get_logger()
_STATE = re.compile("[A-Za-z0-9_-]{16,64}", re.ASCII)
LARGEST_FORM = 16 << 10
Signing = NamedDependency[SignIn | None]


@get("/signin", opt=ANYBODY, include_in_schema=False)
async def begin(request: AnyRequest, signing: Signing) -> Response[bytes]:
    """Lead a browser that a command line opened to the provider."""
    try:
        known_by = _in_force(signing)
        door, cookie = await known_by.begin(_wish(request.query_params))
    except Refused as refused:
        return _page(pages.said(str(refused)), refused.status)
    return _to(door, _cookie(known_by, cookie, int(SECONDS)))


@get("/signin/callback", opt=ANYBODY, include_in_schema=False)
async def callback(request: AnyRequest, signing: Signing, database: NamedDependency[Database]) -> Response[bytes]:
    """Take a browser back from the provider, and ask the person whether they are to be signed in here."""
    told = request.query_params
    try:
        known_by = _in_force(signing)
        started = known_by.returned(request.cookies.get(known_by.cookie), told.get("state", ""))
    except Refused as refused:
        return _page(pages.said(str(refused)), refused.status)
    try:
        person = await known_by.person(database, started, told)
        owners = await memberships(database, person.id, started.owner)
    except Refused as refused:
        return _refused(known_by, started, refused)
    shown = pages.confirming(
        person.name, started.machine, mark_of(started.challenge), known_by.known(started, person), owners
    )
    home = f" http://127.0.0.1:{started.port}" if started.port else ""
    return _page(shown, form_to=f"'self'{home}")


@post("/signin/confirm", opt=ANYBODY, include_in_schema=False, status_code=200, request_max_body_size=LARGEST_FORM)
async def confirm(request: AnyRequest, signing: Signing, database: NamedDependency[Database]) -> Response[bytes]:
    """Give the browser a code for the command line that began it, as the person confirmed."""
    form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
    try:
        known_by = _in_force(signing)
        started = known_by.started(request.cookies.get(known_by.cookie))
        known = known_by.confirmed(started, form.get("known", ""))
    except Refused as refused:
        return _page(pages.said(str(refused)), refused.status)
    try:
        owner, *_ = await memberships(database, known.person, started.owner or form.get("owner", ""))
    except Refused as refused:
        return _refused(known_by, started, refused)
    code = known_by.seal.code(known.person, owner.owner_id, started.challenge)
    over = _cookie(known_by, "", 0)
    if (back := leading_back(started, code=code)) is not None:
        return _to(back, over)
    return _page(pages.copying(code), cookie=over)


@get("/signin/provider", operation_id="showSignIn", opt=ANYBODY, tags=["people"], security=[{}])
async def provider(signing: Signing) -> SignInShown:
    """Where people sign in."""
    if signing is None:
        return SignInShown(issuer=None)
    try:
        await signing.provider.described()
    except Refused as refused:
        raise _problem(refused) from None
    return SignInShown(issuer=signing.provider.client.issuer, address=signing.origin)


@post("/signin/token", status_code=200, operation_id="redeemCode", opt=ANYBODY, tags=["people"], security=[{}])
async def token(data: JSONBody[Redemption], signing: Signing, database: NamedDependency[Database]) -> Redeemed:
    """Give a command line its person's token for the code that a browser brought it: once."""
    try:
        known_by = _in_force(signing)
        return await _redeemed(known_by, database, data)
    except Refused as refused:
        raise _problem(refused) from None


async def _redeemed(signing: SignIn, database: Database, told: Redemption) -> Redeemed:
    code = signing.seal.redeemed(told.code, told.verifier)
    if code is None:
        raise Refused(f"this code is not this sign-in's, or older than five minutes; {AGAIN}", 409)
    owner, person = UUID(bytes=code.owner), UUID(bytes=code.person)
    async with database.unit_of_work("gateway.redeem") as unit:
        member = await unit.fetch_first(MEMBERSHIP(owner=owner, person=person))
        if member is None:
            raise Refused("you are no member of that owner any more; ask an admin to add you", 409)
        key = f"signin {hashlib.sha256(told.code.encode()).hexdigest()}"
        if not await unit.fetch(CLAIM_KEY(owner=owner, key=key, request=key)):
            raise Refused(f"this code was redeemed before; {AGAIN}", 409)
        secret = await issue(
            unit, owner=owner, person=person, name=told.name, role=member.role, seconds=signing.token_seconds
        )
    log.info("signed in", person=member.person, owner=member.owner)
    expires_at = datetime.now(UTC) + timedelta(seconds=signing.token_seconds)
    return Redeemed(token=secret, person=member.person, owner=member.owner, role=member.role, expires_at=expires_at)


def _in_force(signing: SignIn | None) -> SignIn:
    if signing is None:
        raise Refused(
            "nobody signs in here by a browser: the setting oidc_issuer names no OpenID provider; use a token that an "
            "admin makes by `makima token create`",
            404,
        )
    return signing


def _wish(told: Mapping[str, str]) -> Wish:
    """What the command line asks for. Raises Refused for an address that none of them opens."""
    challenge, state, port = (told.get(name, "") for name in ("challenge", "state", "port"))
    if not (CHALLENGE.fullmatch(challenge) and _STATE.fullmatch(state) and _is_port(port)):
        raise Refused(
            "this address is opened by `makima login`, which puts into it what is missing here; run that", 400
        )
    owner, machine = told.get("owner", "")[:200], told.get("machine", "")[:64]
    return Wish(challenge, int(port) if port else None, state, owner or None, machine)


def _is_port(text: str) -> bool:
    """Whether it is a port that a person's program may listen on, or none."""
    return not text or (re.fullmatch("[0-9]{4,5}", text, re.ASCII) is not None and 1024 <= int(text) <= 65535)


def _refused(signing: SignIn, started: Started, refused: Refused) -> Response[bytes]:
    """The end of a sign-in, told to the command line where it listens, else to the person."""
    log.info("a sign-in was refused", reason=str(refused))
    over = _cookie(signing, "", 0)
    if (back := leading_back(started, error=str(refused))) is not None:
        return _to(back, over)
    return _page(pages.said(str(refused)), refused.status, cookie=over)


def _page(shown: bytes, status: int = 200, form_to: str = "", cookie: Cookie | None = None) -> Response[bytes]:
    return Response(
        shown,
        status_code=status,
        media_type="text/html",
        headers=pages.headers(form_to),
        cookies=[cookie] if cookie else None,
    )


def _to(where: str, cookie: Cookie) -> Response[bytes]:
    headers = {**pages.headers(), "Location": where}
    return Response(b"", status_code=303, media_type="text/html", headers=headers, cookies=[cookie])


def _cookie(signing: SignIn, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=signing.cookie,
        value=value,
        path="/",
        max_age=seconds,
        httponly=True,
        secure=signing.secure,
        samesite="lax",
    )


def _problem(refused: Refused) -> HTTPException:
    if refused.status == 404:
        return NotFoundException(str(refused))
    return HTTPException(str(refused), status_code=refused.status)


ROUTES = (begin, callback, confirm, provider, token)
