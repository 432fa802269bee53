"""Errors as problem details (RFC 9457): a line that says what, where, and the fix. No traceback leaves the process."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

import msgspec
import psycopg
import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, SerializationException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ExceptionHandlersMap
from psycopg_pool import PoolTimeout

from services.gateway.http.objections import objections
from shared.domain.texts import one_line
from shared.places import disk_full

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
LARGEST_BODY = 8 << 20
"""Bytes of a request's body: 5,000 steps of a page each, and no more."""
_REFUSALS = {
    psycopg.errors.ReadOnlySqlTransaction: "takes no writes",
    psycopg.errors.DiskFull: "has no room left on its disk",
}
AnyRequest = Request[Any, Any, State]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, and the fix (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    """The status in words."""
    status: int
    detail: str
    """One line: what is wrong, where, and the fix."""
    version: int | None = None
    """Of what changed meanwhile: where it stands now."""


class NotAsThingsStand(HTTPException):
    """What is asked can't be done as things stand: 409."""

    status_code = 409


class VersionConflict(HTTPException):
    """Somebody else changed it: 409, with the current version as the problem's `version`."""

    status_code = 409

    def __init__(self, what: str, asked: int | None, current: int, since: str) -> None:
        """`since` says what changed, in words."""
        super().__init__(
            detail=f"{what} has changed: it is at version {current}, not {asked} ({since}); look at it again"
        )
        self.version = current


class PreconditionFailed(HTTPException):
    """It isn't at the version that If-Match names: 412, with the current one as the problem's `version`."""

    status_code = 412

    def __init__(self, what: str, asked: str, current: int) -> None:
        super().__init__(
            detail=f'{what} is at "{current}", and If-Match asks for {asked[:40] or "nothing"}; look at it again',
            headers={"ETag": f'"{current}"'},
        )
        self.version = current


class AnsweredBefore(Exception):
    """A request that was asked before, with what it was answered then."""

    def __init__(self, answer: object, headers: dict[str, str]) -> None:
        super().__init__("answered before")
        self.answer = answer
        self.headers = headers


def answered_before(request: AnyRequest, error: AnsweredBefore) -> Response[object]:
    """The answer of then, under the status that its route has."""
    handler = request.route_handler
    status = handler.status_code if isinstance(handler, HTTPRouteHandler) else HTTPStatus.OK
    return Response(error.answer, status_code=status, headers=error.headers)


def refused(request: AnyRequest, error: HTTPException) -> Response[Problem]:
    """What a handler or the framework refused."""
    detail = error.detail
    if isinstance(error, NotFoundException) and detail == "Not Found":
        detail = f"there is nothing at {request.url.path}"
    elif isinstance(error, MethodNotAllowedException):
        detail = f"{request.url.path} doesn't take {request.method}"
        allowed = {method.strip() for method in (error.headers or {}).get("allow", "").split(",")}
        error.headers = {"Allow": ", ".join(sorted(allowed | {"HEAD"} if "GET" in allowed else allowed))}
    elif error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"the body is larger than {LARGEST_BODY >> 20} MiB: send fewer steps at once, or shorter ones"
    elif isinstance(error.__cause__, SerializationException):
        detail = f"the body can't be read: {detail}"
    if error.extra:
        detail = "; ".join(objections(request.route_handler, error.extra))
    version = error.version if isinstance(error, VersionConflict | PreconditionFailed) else None
    return _problem(error.status_code, detail, error.headers, version)


def unstorable(_: AnyRequest, error: Exception) -> Response[Problem]:
    """A value that Postgres refuses, e.g. a number out of its range."""
    return _problem(422, f"a value can't be stored: {str(error).splitlines()[0]}")


def unavailable(request: AnyRequest, error: Exception) -> Response[Problem]:
    """Postgres doesn't answer, or not as it should. What a person asks to stop goes on while its disk is full."""
    log.warning("postgres doesn't answer", error=str(error))
    if full := disk_full(request.app.state.home):
        return _problem(503, f"{full}; what stops or pauses work is done all the same", {"retry-after": "1"})
    does = next((words for kind, words in _REFUSALS.items() if isinstance(error, kind)), "doesn't answer")
    return _problem(503, f"Postgres {does} just now; ask again", {"retry-after": "1"})


def unexpected(request: AnyRequest, error: Exception) -> Response[Problem]:
    """A fault of ours: the traceback goes to the log."""
    log.error("request failed", method=request.method, path=request.url.path, error=str(error), exc_info=error)
    return _problem(500, f"the gateway failed at this ({type(error).__name__}); its log says more")


def _problem(
    status: int, detail: str, headers: dict[str, str] | None = None, version: int | None = None
) -> Response[Problem]:
    told = one_line(detail)  # it may repeat what was asked
    problem = Problem(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=told, version=version)
    return Response(problem, status_code=status, media_type=MEDIA_TYPE, headers=headers)


HANDLERS: ExceptionHandlersMap = {
    AnsweredBefore: answered_before,
    HTTPException: refused,
    psycopg.DataError: unstorable,
    psycopg.OperationalError: unavailable,
    psycopg.errors.ReadOnlySqlTransaction: unavailable,
    PoolTimeout: unavailable,
    Exception: unexpected,
}
