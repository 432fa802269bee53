"""Errors as problem details (RFC 9457): a line that says what, where, and the mend. No traceback leaves the process."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, SerializationException
from litestar.types import ExceptionHandlersMap
from psycopg_pool import PoolTimeout

from shared.domain.texts import one_line

log = structlog.get_logger()
LARGEST_BODY = 8 << 20
"""Bytes of a request's body: 5,000 steps of a page each, and no more."""
_REFUSALS = {
    psycopg.errors.ReadOnlySqlTransaction: "takes no writes",
    psycopg.errors.DiskFull: "has no room left on its disk",
}
AnyRequest = Request[Any, Any, State]
Problem = Response[dict[str, Any]]


class VersionConflict(HTTPException):
    """Somebody else changed it: 409, with the current version as the problem's `version`."""

    status_code = 409

    def __init__(self, asked: int, current: int, what: str, since: str = "") -> None:
        """`since` says what changed, in words."""
        changed = f" ({since})" if since else ""
        super().__init__(
            detail=f"{what} has changed: it is at version {current}, not {asked}{changed}; look at it again"
        )
        self.version = current


def refused(request: AnyRequest, error: HTTPException) -> Problem:
    """What a handler or the framework refused."""
    detail = error.detail
    if isinstance(error, NotFoundException) and detail == "Not Found":
        detail = f"there is nothing at {request.url.path}; ids are whole UUIDs, as the lists show them"
    elif isinstance(error, MethodNotAllowedException):
        detail = f"{request.url.path} doesn't take {request.method}"
    elif error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"the body is larger than {LARGEST_BODY >> 20} MiB: send fewer steps at once, or shorter ones"
    elif isinstance(error.__cause__, SerializationException):
        detail = f"the body can't be read: {detail}"
    if error.extra:
        extra = error.extra if isinstance(error.extra, list) else [error.extra]
        detail += ": " + "; ".join(
            f"{e.get('key', '')} {e.get('message', e)}".strip() if isinstance(e, dict) else str(e) for e in extra
        )
    more = {"version": error.version} if isinstance(error, VersionConflict) else {}
    return _problem(error.status_code, detail, error.headers, **more)


def unstorable(_: AnyRequest, error: Exception) -> Problem:
    """A value that Postgres refuses, e.g. a number out of its range."""
    return _problem(422, f"a value can't be stored: {str(error).splitlines()[0]}")


def unavailable(_: AnyRequest, error: Exception) -> Problem:
    """Postgres doesn't answer, or not as it should."""
    log.warning("postgres doesn't answer", error=str(error))
    does = next((words for kind, words in _REFUSALS.items() if isinstance(error, kind)), "doesn't answer")
    return _problem(503, f"Postgres {does} just now; ask again", {"retry-after": "1"})


def unexpected(request: AnyRequest, error: Exception) -> Problem:
    """A fault of ours: the traceback goes to the log."""
    log.error("request failed", method=request.method, path=request.url.path, error=str(error), exc_info=error)
    return _problem(500, f"the gateway failed at this ({type(error).__name__}); its log says more")


def _problem(
    status: int, detail: str, headers: dict[str, str] | None = None, **more: object
) -> Response[dict[str, Any]]:
    said = one_line(detail)  # it may repeat what was asked
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": said, **more}
    return Response(body, status_code=status, media_type="application/problem+json", headers=headers)


HANDLERS: ExceptionHandlersMap = {
    HTTPException: refused,
    psycopg.DataError: unstorable,
    psycopg.OperationalError: unavailable,
    psycopg.errors.ReadOnlySqlTransaction: unavailable,
    PoolTimeout: unavailable,
    Exception: unexpected,
}
