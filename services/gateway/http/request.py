"""A request as its handler gets it: from somebody known, at a name of ours, with a body that can be read."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import ClientException, HTTPException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from services.gateway.access import OWNER_HEADER, Gate, needs_token
from services.gateway.sessions import FROM_THE_PAGE
from shared.config import Settings
from shared.domain.plain import plain
from shared.domain.plans import SPELLINGS
from shared.messages.unreadable import UNREADABLE

PROGRAMS = frozenset({"task_plan"})
"""Fields that are run as they stand: what is shown of them is made harmless where it is shown."""


class PlainRequest(Request[Any, Any, State]):
    """Its texts have neither control nor bidirectional characters."""

    async def json(self) -> Any:  # noqa: ANN401
        """The body. Raises ClientException on what can't be read."""
        try:
            return _plain(msgspec.json.decode(await self.body() or b"null"))
        except UNREADABLE as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise ClientException(f"the body can't be read: {reason}") from None


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        named = {SPELLINGS.get(key, key): one for key, one in value.items()}
        if len(named) < len(value):
            twice = next(key for key in value if SPELLINGS.get(key) in value)
            raise ClientException(f"the body gives {SPELLINGS[twice]} twice, once as {twice}; leave one out")
        return {key: one if key in PROGRAMS else _plain(one) for key, one in named.items()}
    return value


def admitted(gate: Gate, settings: Settings) -> list[Guard]:
    """What a request has to pass before its body is read."""
    names = {"localhost", settings.host, *settings.gateway_names}
    if settings.public_url is not None:
        names.add(urlsplit(settings.public_url).hostname or "")

    async def plainly(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """What stands in an address is compared, kept and shown: it is text that can be seen, or it is refused."""
        for what, said in (("path", connection.scope["raw_path"]), ("query", connection.scope["query_string"])):
            if not _is_plain(said):
                raise ClientException(
                    f"the {what} holds characters that can't be shown, or none of UTF-8; leave them out"
                )

    async def once_each(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """A parameter given twice would count once, `null` as though it weren't there: neither was meant."""
        given = parse_qsl(connection.scope["query_string"].decode(), keep_blank_values=True)
        names = [name for name, _ in given]
        for name, value in given:
            if names.count(name) > 1:
                raise ClientException(f"the parameter {name} is given more than once")
            if value == "null":
                raise ClientException(f"the parameter {name} is null; leave it out")

    async def with_one_host(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Of two, somebody between may have looked at the other one."""
        if len(connection.headers.getall("host", [])) > 1:
            raise ClientException("the request has more than one Host header")

    async def at_a_name_of_ours(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """A page in a browser that has its own name lead here is refused; an address can't be made to lead here."""
        if connection.client is None:
            return  # the unix socket, which no browser reaches
        host = connection.headers.get("host", "")
        name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in names and not _is_address(name):
            raise HTTPException(
                f"{name!r} is no name of this gateway; the setting gateway_names lists those that are",
                status_code=HTTPStatus.MISDIRECTED_REQUEST,
            )

    async def of_no_other_origin(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """A browser says whose page asks: only the gateway's own may, and a link elsewhere may lead here."""
        headers, own = connection.headers, f"{connection.scope['scheme']}://{connection.headers.get('host', '')}"
        for origin in headers.getall("origin", []):
            if _origin(origin) != _origin(own):
                raise PermissionDeniedException(
                    f"a page of {origin[:100]} asks, and this is {own[:100]}: only its own pages may; if a proxy "
                    "stands between, list it in trusted_proxies"
                )
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _is_followed(connection):
            raise PermissionDeniedException("a page of another site asks, and only the gateway's own may")

    async def by_somebody_who_may(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """A route that declares nobody is nobody's; what may be asked for (OPTIONS) is everybody's who is known."""
        if handler.opt.get("page") and FROM_THE_PAGE not in connection.headers:
            raise PermissionDeniedException(f"only the page asks for this, by the header {FROM_THE_PAGE}")
        if needs_token(handler.opt):
            headers = connection.headers
            authorization = gate.sessions.authorization(headers, connection.cookies)
            caller = await gate.caller(authorization, headers.get(OWNER_HEADER))
            connection.state.caller = caller if _asks_what_may_be(connection) else caller.may(handler.opt)

    guards: list[Callable[..., Awaitable[None]]] = [
        plainly,
        once_each,
        with_one_host,
        at_a_name_of_ours,
        of_no_other_origin,
        by_somebody_who_may,
    ]  # one that isn't async costs a thread
    return guards  # type: ignore[return-value]


def _asks_what_may_be(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return connection.scope["type"] == ScopeType.HTTP and connection.scope["method"] == "OPTIONS"


def _is_plain(quoted: bytes) -> bool:
    """Whether a part of an address stands for printable text."""
    try:
        return unquote_to_bytes(quoted).decode().isprintable()
    except UnicodeDecodeError:
        return False


def _origin(text: str) -> str:
    """An origin without the port that its scheme has by itself.

    >>> _origin("https://Example.org:443")
    'https://example.org'
    """
    scheme, _, host = text.lower().partition("://")
    return f"{scheme}://{host.removesuffix({'http': ':80', 'https': ':443'}.get(scheme, ''))}"


def _is_followed(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether somebody followed a link, or was sent here: what comes is a page to read, and no other page reads it."""
    headers = connection.headers
    seen = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return (
        connection.scope["type"] == ScopeType.HTTP
        and connection.scope["method"] == "GET"
        and seen == ("navigate", "document")
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
