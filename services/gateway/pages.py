"""Pages of lists: how many at once, and where the next one begins."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter

from services.gateway.http.problems import AnyRequest

A = TypeVar("A", bound=msgspec.Struct)
K = TypeVar("K", bound=msgspec.Struct)
Limit = Annotated[int, QueryParameter(ge=1, le=10_000, description="How many at most.")]
Cursor = Annotated[
    str | None,
    QueryParameter(
        description="Where the page begins: from the `next` link of the page before.",
        schema_extra={"pattern": "^[A-Za-z0-9_-]{1,400}$"},
    ),
]
NEXT = ResponseHeader(
    name="Link",
    documentation_only=True,
    description='The next page, `<address>; rel="next"` (RFC 8288); absent from the last.',
)


def page(request: AnyRequest, answers: Sequence[A], limit: int, key: Callable[[A], K]) -> Response[list[A]]:
    """The first `limit` of some answers, with a link to the next page if there are more."""
    shown = list(answers[:limit])
    if len(answers) <= limit:
        return Response(shown)
    told = base64.urlsafe_b64encode(msgspec.json.encode(key(shown[-1]))).decode().rstrip("=")
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    where = f"{request.url.path}?{urlencode([*asked, ('cursor', told)])}"
    return Response(shown, headers={"Link": f'<{where}>; rel="next"'})


def after(cursor: str | None, shape: type[K], start: K) -> K:
    """The key after which a page begins; `start` without a cursor. Raises HTTPException 422 for another's."""
    if cursor is None:
        return start
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=shape)
    except (msgspec.MsgspecError, ValueError):
        said = "the cursor is none of this list's; leave it out for the first page"
        raise HTTPException(said, status_code=422) from None
