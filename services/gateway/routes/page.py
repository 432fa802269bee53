"""The page: files that were built before, whose addresses below / are all answered by the same document."""

from __future__ import annotations

import mimetypes
from functools import cache
from http import HTTPStatus
from pathlib import Path

import msgspec
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from services.gateway.access import ANYBODY

BUILT = Path(__file__).parents[1] / "page" / "built"
PLACES = ("/", "/open", "/new", "/orders", "/daemons")
"""Where it stands: its addresses, beside those of directives and their steps."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the graph places its boxes by style attributes
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_BUILT = b"""<!doctype html><html lang="en"><title>makima</title>
<h1>The page isn't built here</h1>
<p>In a checkout <code>./justw page</code> builds it. The command line does all of it without."""


class _File(msgspec.Struct, frozen=True):
    body: bytes
    media_type: str


@cache
def _files() -> dict[str, _File]:
    """What was built, by the path that it is asked for."""
    return {
        f"/{path.relative_to(BUILT)}": _File(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "text/plain")
        for path in BUILT.rglob("*")
        if path.is_file()
    }


@get(
    [*PLACES, "/directives/{number:int}", "/directives/{number:int}/steps/{step:int}"],
    opt=ANYBODY,
    include_in_schema=False,
    sync_to_thread=False,
)
def document() -> Response[bytes]:
    """The page's document, which is the same at each of its addresses."""
    found = _files().get("/index.html")
    return Response(
        found.body if found else _NOT_BUILT,
        media_type="text/html",
        headers={**_HEADERS, "Cache-Control": "no-cache"},
        status_code=HTTPStatus.OK if found else HTTPStatus.NOT_FOUND,
    )


@get(["/icon.svg", "/assets/{name:str}"], opt=ANYBODY, include_in_schema=False, sync_to_thread=False)
def file(name: FromPath[str] = "") -> Response[bytes]:
    """A file of it. Those in /assets never change: a hash of what they hold is in their names."""
    found = _files().get(f"/assets/{name}" if name else "/icon.svg")
    if found is None:
        raise NotFoundException("the page has no such file; load it again")
    kept = "public, max-age=31536000, immutable" if name else "no-cache"
    return Response(found.body, media_type=found.media_type, headers={**_HEADERS, "Cache-Control": kept})


ROUTES = (document, file)
