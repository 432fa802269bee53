"""OPTIONS: a resource says all that may be asked of it, also where several handlers answer for it."""

from __future__ import annotations

from litestar.datastructures import MutableScopeHeaders
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def allowing(app: ASGIApp) -> ASGIApp:
    """The middleware that completes the Allow header of an answer to OPTIONS."""

    async def completing(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get("method") == "OPTIONS":
                headers = MutableScopeHeaders.from_message(message)
                headers["allow"] = ", ".join(_methods(scope))
            await send(message)

        await app(scope, receive, sending)

    return completing


def _methods(scope: Scope) -> list[str]:
    """The methods that a request's path takes."""
    template = scope["path_template"]
    at = [r for r in scope["litestar_app"].routes if isinstance(r, HTTPRoute) and r.path_format == template]
    methods = {str(method) for route in at for handler in route.route_handlers for method in handler.http_methods}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
