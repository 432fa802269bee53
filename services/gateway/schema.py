"""The description of the HTTP interface (OpenAPI): made from the handlers, completed with what they all share.

It is made when it is first asked for, so that a gateway starts without it.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from http import HTTPStatus
from importlib import import_module
from itertools import pairwise
from typing import Any

import msgspec
from litestar import Litestar, Response, Router
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.routes import HTTPRoute

import shared.api
from services.gateway.access import ANYBODY, needs_token
from services.gateway.http.page import rendered
from services.gateway.http.problems import MEDIA_TYPE, AnyRequest, Problem

Described = dict[str, Any]
"""A part of the description, which is JSON."""
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PATH = "/schema"
REF = "#/components/schemas/{name}"
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
    Tag("people", "Owners, their members and what those may do, people's tokens, and how they sign in."),
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
_DONE = {"200": "Done.", "201": "Made.", "202": "Taken on; it is done soon."}
_NAMES = {
    "directive": "The directive's id.",
    "step": "The step's id.",
    "task": "The task's id.",
    "order": "The order's id.",
    "question": "The question's id.",
    "name": "The daemon's name.",
    "token": "The token's id.",
    "status": "Only those of this status.",
    "anything": "The id of a directive, a step or a task.",
    "kind": "What to look for.",
    "now": "End running tasks at once; they run again later.",
    "after_attempt": "Only output of later attempts, or of this one after `after_seq`.",
    "after_seq": "Only output of `after_attempt` that follows this number.",
}
"""What a parameter is, where its name says it all."""
_CHALLENGE = {
    "WWW-Authenticate": {
        "description": "Which kind of token is wanted (RFC 6750).", "required": True, "schema": {"type": "string"},
    }
}  # fmt: skip


class _Page(OpenAPIRenderPlugin):
    def render(self, request: AnyRequest, openapi_schema: Described) -> bytes:
        return rendered(completed(request, openapi_schema))


class _Json(JsonRenderPlugin):
    def render(self, request: AnyRequest, openapi_schema: Described) -> bytes:
        return super().render(request, completed(request, openapi_schema))


class _Yaml(YamlRenderPlugin):
    def render(self, request: AnyRequest, openapi_schema: Described) -> bytes:
        return super().render(request, completed(request, openapi_schema))


def _nothing_there(answer: Response[Any]) -> Response[Any]:
    """An address below /schema that there is not is refused like any other."""
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException("there is nothing at this address below /schema")
    return answer


def description() -> OpenAPIConfig:
    """How the description is made and where it is found."""
    return OpenAPIConfig(
        title="makima",
        version="1",
        description=(
            "Goals on git repositories, their steps, tasks and events. Every error is a problem detail (RFC 9457) of "
            "one line. A person's token is for one owner; the cluster's own, in its home, acts in "
            "the owner that the header Makima-Owner names; a task has its own, for its directive only. "
            "Whatever changes something takes an Idempotency-Key, and is done once however often it is asked. "
            "Lists come in pages: the Link header has the next one."
        ),
        openapi_router=Router(
            PATH, route_handlers=[], include_in_schema=False, after_request=_nothing_there, opt=ANYBODY
        ),
        render_plugins=[
            _Page(path="/", media_type=MediaType.HTML),
            _Json(path="/openapi.json"),
            _Yaml(path="/openapi.yaml"),
        ],
        components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"bearer": []}],
        tags=TAGS,
        use_handler_docstrings=True,
    )


def completed(request: AnyRequest, described: Described) -> Described:
    """The description with the exact shapes of what is taken and answered, and the problems of each operation."""
    schemas = described["components"]["schemas"]
    if Problem.__name__ not in schemas:
        schemas.update(_shapes(schemas.keys()))
        for path, method, handler in _handlers(request.app):
            operation = described["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                _complete(operation, handler, method, path)
    return described


def _handlers(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                yield from ((route.path_format, str(method), handler) for method in handler.http_methods)


def _shapes(named: set[str]) -> Described:
    """The shapes of these names, and of what they hold, as msgspec reads and writes them."""
    modules = [import_module(m.name) for m in pkgutil.iter_modules(shared.api.__path__, "shared.api.")]
    kinds = {n: k for module in modules for n, k in vars(module).items() if isinstance(k, type)}
    structs = [k for n, k in kinds.items() if n in named and issubclass(k, msgspec.Struct)] + [Problem]
    _, shapes = msgspec.json.schema_components(structs, schema_hook=_anything, ref_template=REF)
    for kind in structs:
        for owner in kind.__mro__:
            for field, words in _words(owner).items() if issubclass(owner, msgspec.Struct) else ():
                told = shapes[kind.__name__]["properties"].get(field)
                if told is not None and "$ref" not in told:
                    told.setdefault("description", words)
    return shapes


def _anything(_: type) -> Described:
    return {"description": "Anything."}


def _words(kind: type) -> dict[str, str]:
    """The words that stand below each field in its class's source."""
    if kind is msgspec.Struct:
        return {}
    (node,) = ast.parse(inspect.getsource(kind)).body
    told = {}
    for before, after in pairwise(getattr(node, "body", ())):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                told[name] = " ".join(words.split())
    return told


def _complete(operation: Described, handler: HTTPRouteHandler, method: str, path: str) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _given(parameter["schema"])
        if parameter["name"] in _NAMES:
            parameter.setdefault("description", _NAMES[parameter["name"]])
    operation["summary"] = operation["description"].partition("\n")[0].rstrip(".")
    responses = operation["responses"]
    responses.pop("400", None)  # the framework's own words for it
    for status in _DONE.keys() & responses.keys():
        responses[status]["description"] = _DONE[status]
    for status in sorted(set(_problems(handler, method, path))):
        responses[str(status)] = _problem(status)


def _given(schema: Described) -> Described:
    """The shape of a parameter that is given: one that isn't is left out, not null."""
    kinds = [one for one in schema.get("oneOf", ()) if one != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "oneOf"}, **kinds[0]}


def _problems(handler: HTTPRouteHandler, method: str, path: str) -> Iterator[int]:
    """Which statuses of errors a route may answer."""
    yield from (400, 421, 500, 503)
    if needs_token(handler.opt) or handler.opt.get("page"):
        yield from (401, 403)
    if "{" in path:
        yield 404
    if method in CHANGES:
        yield from (404, 409, 413, 422)
    yield from (error.status_code for error in handler.raises or ())
    if "cursor" in handler.parsed_fn_signature.parameters:
        yield 422
    if "directive_change" in handler.parsed_fn_signature.parameters:
        yield 412


def _problem(status: int) -> Described:
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(name=Problem.__name__)}}}
    headers = {"headers": _CHALLENGE} if status == HTTPStatus.UNAUTHORIZED else {}
    return {"description": _SAYS[status], "content": content, **headers}
