"""Browsers: signed in by a link that works once, and out again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from litestar import Response, delete, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.params import JSONBody

from services.gateway.access import PAGE, VIEWER, Caller, hash_of
from services.gateway.feed.held import Held
from services.gateway.http.problems import AnyRequest
from services.gateway.issuing import issue
from services.gateway.rows.people import REVOKE_SESSION
from services.gateway.sessions import LINK_SECONDS, SESSION_SECONDS, Guest, Sessions
from shared.api.session import SignedIn, SignIn, SignInLink
from shared.domain.roles import Role
from shared.store.database import Database

NAME = "a browser"
"""What the tokens of browsers are called in a person's list."""


@post("/v1/session/links", status_code=201, operation_id="linkBrowser", opt=VIEWER, tags=["people"])
async def link(caller: NamedDependency[Caller], sessions: NamedDependency[Sessions]) -> SignInLink:
    """A link that signs a browser in as who asks, once."""
    guest = Guest(owner=caller.owner, person=caller.person_id, role=caller.role, seconds_left=caller.seconds_left)
    until = datetime.now(UTC) + timedelta(seconds=LINK_SECONDS)
    return SignInLink(path=f"/open#{sessions.link(guest)}", expires_at=until)


@post("/v1/session", status_code=200, operation_id="signIn", opt=PAGE, tags=["people"], security=[{}])
async def sign_in(
    data: JSONBody[SignIn],
    request: AnyRequest,
    database: NamedDependency[Database],
    sessions: NamedDependency[Sessions],
) -> Response[SignedIn]:
    """Sign a browser in by the code of a link: the answer's cookie does it. 401 where the code isn't good."""
    guest = sessions.take(data.code)
    if guest is None:
        raise NotAuthorizedException("this link was used before, or is too old: `makima open` makes another")
    seconds = min(SESSION_SECONDS, int(guest.seconds_left) if guest.seconds_left is not None else SESSION_SECONDS)
    if guest.person is None:
        token = sessions.begin()
    else:
        try:
            async with database.unit_of_work("gateway.sign_in") as unit:
                token = await issue(
                    unit, owner=guest.owner, person=guest.person, name=NAME, role=Role(guest.role), seconds=seconds
                )
        except LookupError:
            raise NotAuthorizedException("whoever made this link is no member any more") from None
    answered = SignedIn(expires_at=datetime.now(UTC) + timedelta(seconds=seconds))
    return Response(answered, cookies=[_cookie(request, sessions, token, seconds)])


@delete("/v1/session", status_code=204, operation_id="signOut", opt=PAGE, tags=["people"], security=[{}])
async def sign_out(
    request: AnyRequest,
    database: NamedDependency[Database],
    sessions: NamedDependency[Sessions],
    held: NamedDependency[Held],
) -> Response[None]:
    """Sign this browser out: its cookie is taken back, and a person's token that it held is revoked."""
    kept = request.cookies.get(sessions.cookie, "")
    if kept.startswith("mkt_"):
        async with database.unit_of_work("gateway.sign_out") as unit:
            ended = await unit.fetch(REVOKE_SESSION(hash=hash_of(kept), name=NAME))
        for token in ended:
            held.end_token(token)
    return Response(None, cookies=[_cookie(request, sessions, "", 0)])


def _cookie(request: AnyRequest, sessions: Sessions, value: str, seconds: int) -> Cookie:
    secure = request.url.scheme == "https"
    return Cookie(
        key=sessions.cookie, value=value, max_age=seconds, path="/", httponly=True, samesite="strict", secure=secure
    )


ROUTES = (link, sign_in, sign_out)
