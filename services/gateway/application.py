"""The HTTP interface put together: routes, what their handlers are handed, and who is let in."""

from __future__ import annotations

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import Provide

from services.gateway import metrics as counting
from services.gateway.access import Caller, Gate
from services.gateway.feed.live import Live
from services.gateway.feed.waiters import Answers
from services.gateway.gathering import Gathering
from services.gateway.http import problems
from services.gateway.http.allowing import allowing
from services.gateway.http.problems import AnyRequest
from services.gateway.http.request import PlainRequest, admitted
from services.gateway.link.admitted import AdmittedFile
from services.gateway.routes import (
    daemon_keys,
    daemons,
    delivery,
    differences,
    directives,
    events,
    health,
    members,
    metrics,
    names,
    orders,
    overview,
    owners,
    page,
    planning,
    questions,
    session,
    signin,
    steps,
    tasks,
    tokens,
    why,
)
from services.gateway.schema import description
from services.gateway.signin.signing import SignIn
from services.gateway.transactions import change, directive_change
from shared.config import Settings
from shared.store.database import Database

COMPRESSION = CompressionConfig(backend="gzip", minimum_size=4096, gzip_compress_level=5, exclude="^/v1/events$")
"""For clients that ask for it. A stream of events would wait for a block to be full."""
ROUTES = (
    *health.ROUTES,
    *metrics.ROUTES,
    *signin.ROUTES,
    *overview.ROUTES,
    *directives.ROUTES,
    *delivery.ROUTES,
    *differences.ROUTES,
    *planning.ROUTES,
    *steps.ROUTES,
    *orders.ROUTES,
    *questions.ROUTES,
    *why.ROUTES,
    *names.ROUTES,
    *tasks.ROUTES,
    *daemons.ROUTES,
    *daemon_keys.ROUTES,
    *events.ROUTES,
    *session.ROUTES,
    *page.ROUTES,
    *owners.ROUTES,
    *members.ROUTES,
    *tokens.ROUTES,
)


def application(
    database: Database,
    settings: Settings,
    gate: Gate,
    live: Live,
    waiters: Answers,
    admitted_file: AdmittedFile,
    signing: SignIn | None,
) -> Litestar:
    """The HTTP interface. Handlers ask by name for `caller`, `change`, `directive_change`, and what is given here."""

    async def caller(request: AnyRequest) -> Caller:
        known: Caller = request.state.caller  # whom the guards let in
        return known

    gathering = Gathering(settings)

    return Litestar(
        ROUTES,
        dependencies={
            "caller": Provide(caller),
            "database": Provide(lambda: database, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "live": Provide(lambda: live, sync_to_thread=False),
            "gathering": Provide(lambda: gathering, sync_to_thread=False),
            "admitted_file": Provide(lambda: admitted_file, sync_to_thread=False),
            "sessions": Provide(lambda: gate.sessions, sync_to_thread=False),
            "held": Provide(lambda: live.held, sync_to_thread=False),
            "waiters": Provide(lambda: waiters, sync_to_thread=False),
            "signing": Provide(lambda: signing, sync_to_thread=False),
            "change": Provide(change),
            "directive_change": Provide(directive_change),
        },
        guards=admitted(gate, settings),
        request_class=PlainRequest,
        state=State({"home": settings.home}),
        exception_handlers=problems.HANDLERS,
        middleware=[counting.timed, allowing],
        openapi_config=description(),
        compression_config=COMPRESSION,
        logging_config=None,
        request_max_body_size=problems.LARGEST_BODY,
    )
