"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

AnyRequest = Request[Any, Any, State]


def problem(_: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """Every error as RFC 9457 says."""
    detail = error.detail
    if error.extra:
        extra = error.extra if isinstance(error.extra, list) else [error.extra]
        detail += ": " + "; ".join(
            f"{e.get('key', '')} {e.get('message', e)}".strip() if isinstance(e, dict) else str(e) for e in extra
        )
    body = {"type": "about:blank", "title": type(error).__name__, "status": error.status_code, "detail": detail}
    return Response(body, status_code=error.status_code, media_type="application/problem+json")
