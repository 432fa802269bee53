"""The description of the HTTP interface (OpenAPI): made from the handlers, completed with what they all share."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Reference,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.routes import HTTPRoute

from services.gateway.http.page import PagePlugin
from services.gateway.http.problems import MEDIA_TYPE
from services.gateway.http.request import OPEN

PROBLEM = "Problem"
CHANGES = frozenset({"POST", "PATCH", "DELETE"})
TAGS = [
    Tag("directives", "Goals on repositories: made, changed, started, paused, ended."),
    Tag("planning", "Plans of a directive: asked for, approved, rejected."),
    Tag("steps", "The nodes of a plan: added, removed, retried, skipped."),
    Tag("orders", "Small work items that a directive's planner picks up."),
    Tag("tasks", "Jobs on daemons: their output, and what is asked of them."),
    Tag("questions", "What agents ask of people."),
    Tag("waiting", "Why something waits, and all that waits for a person."),
    Tag("events", "The audit log, and the live stream."),
    Tag("daemons", "Workers that run tasks."),
    Tag("cluster", "Health, counts and metrics."),
]
_SAYS = {
    400: "The request can't be read: a parameter, a header or the body.",
    401: "No token that is valid.",
    403: "The token doesn't allow this.",
    404: "There is no such thing.",
    409: "It can't be done as things stand, or somebody else changed it.",
    412: "The directive isn't at the version that If-Match names.",
    413: "The body is too large.",
    421: "The Host header names no gateway.",
    422: "It can be read, but makes no sense, or can't be stored.",
    500: "A fault of the gateway's.",
    503: "Postgres, or what else is needed, doesn't answer just now; ask again.",
}
_SHAPE = Schema(
    type=OpenAPIType.OBJECT,
    description="What went wrong, and the mend (RFC 9457).",
    properties={
        "type": Schema(type=OpenAPIType.STRING, const="about:blank"),
        "title": Schema(type=OpenAPIType.STRING, description="The status in words."),
        "status": Schema(type=OpenAPIType.INTEGER),
        "detail": Schema(type=OpenAPIType.STRING, description="One line: what is wrong, where, and the mend."),
        "version": Schema(type=OpenAPIType.INTEGER, description="Of what changed meanwhile: where it stands now."),
    },
    required=["type", "title", "status", "detail"],
)
_CHALLENGE = "Which kind of token is wanted (RFC 6750)."
OPENAPI = OpenAPIConfig(
    title="makima",
    version="1",
    description=(
        "Goals on git repositories, their steps, tasks and events. Every error is a problem detail (RFC 9457) of one "
        "line. A person's token is in the cluster's home; a task has its own, for its directive only. "
        "Whatever changes something takes an Idempotency-Key, and is done once however often it is asked. "
        "Lists come in pages: the Link header has the next one."
    ),
    path="/schema",
    render_plugins=[
        PagePlugin(path="/"),
        JsonRenderPlugin(path="/openapi.json"),
        YamlRenderPlugin(path="/openapi.yaml"),
    ],
    components=Components(
        security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")},
    ),
    security=[{"bearer": []}],
    tags=TAGS,
    use_handler_docstrings=True,
)


def complete(app: Litestar) -> None:
    """Add to each operation the problems that it may answer: those follow from what its handler takes."""
    app.openapi_schema.components.schemas[PROBLEM] = _SHAPE
    paths = app.openapi_schema.paths or {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path_format not in paths:
            continue
        item = paths[route.path_format]
        for handler in route.route_handlers:
            for method in handler.http_methods:
                operation = getattr(item, method.lower(), None)
                if operation is not None:
                    _complete(operation, handler, str(method), route.path)


def _complete(operation: Operation, handler: HTTPRouteHandler, method: str, path: str) -> None:
    responses = operation.responses = operation.responses or {}
    responses.pop("400", None)  # the framework's own words for it
    for status in sorted(_problems(handler, method, path)):
        responses.setdefault(str(status), _problem(status))


def _problems(handler: HTTPRouteHandler, method: str, path: str) -> Iterator[int]:
    """Which statuses of errors a route may answer."""
    yield from (400, 421, 500, 503)
    if not path.startswith(OPEN):
        yield from (401, 403)
    if "{" in path:
        yield 404
    if method in CHANGES:
        yield from (404, 409, 413, 422)
    if "directive_change" in handler.parsed_fn_signature.parameters:
        yield 412


def _problem(status: int) -> OpenAPIResponse:
    headers: dict[str, OpenAPIHeader | Reference] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = OpenAPIHeader(
            schema=Schema(type=OpenAPIType.STRING), description=_CHALLENGE, required=True
        )
    content = {MEDIA_TYPE: OpenAPIMediaType(schema=Reference(ref=f"#/components/schemas/{PROBLEM}"))}
    return OpenAPIResponse(description=_SAYS[status], content=content, headers=headers or None)
