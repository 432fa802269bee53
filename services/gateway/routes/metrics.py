"""Metrics, as Prometheus scrapes them."""

from __future__ import annotations

import asyncio

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from services.gateway.access import ANYBODY
from services.gateway.feed.live import Live
from services.gateway.gathering import Gathering
from services.gateway.metrics import exposition
from services.gateway.rows.counts import COUNTS
from shared.store.database import Database


@get("/metrics", operation_id="showMetrics", opt=ANYBODY, tags=["cluster"], security=[{}], media_type="text/plain")
async def metrics(
    database: NamedDependency[Database], live: NamedDependency[Live], gathering: NamedDependency[Gathering]
) -> Response[bytes]:
    """What every process of the cluster counts, in Prometheus's text format.

    This gateway's own requests are counted here alone: of two gateways each is scraped.
    """
    samples, processes = await asyncio.gather(database.fetch(COUNTS()), gathering.processes())
    told = exposition(samples, live, processes)
    return Response(told, headers={"content-type": CONTENT_TYPE_LATEST})


ROUTES = (metrics,)
