"""Metrics, as Prometheus scrapes them."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from services.gateway.feed.live import Live
from services.gateway.metrics import exposition
from services.gateway.rows.counts import COUNTS
from shared.store.database import Database


@get("/metrics", operation_id="showMetrics", tags=["cluster"], security=[{}], media_type="text/plain")
async def metrics(database: NamedDependency[Database], live: NamedDependency[Live]) -> Response[bytes]:
    """Everything that is counted, in Prometheus's text format."""
    told = exposition(await database.fetch(COUNTS()), live)
    return Response(told, headers={"content-type": CONTENT_TYPE_LATEST})


ROUTES = (metrics,)
