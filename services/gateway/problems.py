"""Errors in words: every answer that isn't a success is a problem (RFC 9457), made here and nowhere else."""

from __future__ import annotations

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.status_codes import HTTP_404_NOT_FOUND, HTTP_500_INTERNAL_SERVER_ERROR
from psycopg import DataError, OperationalError
from psycopg_pool import PoolTimeout

from shared.domain.plans import PlanRefused
from shared.domain.statuses import TransitionRefused

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    422: "Refused",
    500: "Internal error",
    503: "Not available",
}


class Problem(Exception):
    """What is wrong, in one line, with the HTTP status that says it to a program. `version` goes with a 409."""

    def __init__(self, status: int, detail: str, version: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.version = version


class ProblemDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of a problem (RFC 9457), and the present version where a stale one was refused."""

    type: str = msgspec.field(default="about:blank")
    title: str
    status: int
    detail: str
    version: int | None = None


def not_found(kind: str, given: str) -> Problem:
    """There is no such thing, or it belongs to somebody else."""
    return Problem(404, f"there is no {kind} {given!r}; `makima {kind} list` shows what there is")


def answer(_: Request[object, object, object], error: Exception) -> Response[ProblemDetails]:
    """The problem that an exception is told as. What nobody foresaw is logged, and told without its insides."""
    status, detail, version = _describe(error)
    if status >= HTTP_500_INTERNAL_SERVER_ERROR:
        log.error("request failed", error=str(error), exc_info=error)
    title = TITLES.get(status, "Error")
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    body = ProblemDetails(title=title, status=status, detail=detail, version=version)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _describe(error: Exception) -> tuple[int, str, int | None]:
    match error:
        case Problem():
            return error.status, error.detail, error.version
        case PlanRefused():
            return 422, str(error), None
        case TransitionRefused():
            return 409, str(error), None
        case ValidationException():
            return 400, _validation(error), None
        case HTTPException():
            detail = "there is no such address" if error.status_code == HTTP_404_NOT_FOUND else error.detail
            return error.status_code, detail.splitlines()[0] if detail else "", None
        case OperationalError() | PoolTimeout():
            return 503, "Postgres can't be reached at the moment; try again", None
        case DataError():
            return 422, f"a value can't be stored: {str(error).splitlines()[0]}", None
        case _:
            return 500, "the gateway failed; its log says how", None


def _validation(error: ValidationException) -> str:
    """All that is wrong with a body, e.g. 'steps[2]: Object contains unknown field `plan`'."""
    found = []
    for item in error.extra if isinstance(error.extra, list) else []:
        if isinstance(item, dict):
            key = str(item.get("key", "")).removeprefix("data").strip(".`")
            found.append(f"{key}: {item.get('message', '')}" if key else str(item.get("message", "")))
    return "; ".join(found) or error.detail
