"""Metrics for Prometheus."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.auth import DESCRIBED, REFUSED, ProtectedMetrics
from app.api.state import CurrentState
from app.ledger.database import UNAVAILABLE

router = APIRouter(
    tags=["health"],
    route_class=ProtectedMetrics,
    dependencies=[DESCRIBED],
    responses=REFUSED,
)

_READ_SECONDS = 5.0  # a scrape gives up after 10 s

_EXAMPLE = """\
# HELP jebbit_sync_webhooks_total Webhooks answered, by what became of them.
# TYPE jebbit_sync_webhooks_total counter
jebbit_sync_webhooks_total{integration="spring-quiz",outcome="accepted"} 42.0
jebbit_sync_ledger_up 1.0
jebbit_sync_pending_submissions{integration="spring-quiz"} 3.0
"""


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": _EXAMPLE}}}},
)
async def get_metrics(state: CurrentState) -> Response:
    """Counters and histograms of this process and those it has started, and gauges of the ledger.

    Sum counters over processes; take the maximum of what the ledger says (pending, dead, oldest,
    paused, gate, drift): every process says the same. When the ledger cannot be reached they are
    missing and `jebbit_sync_ledger_up` is 0.
    """
    try:
        async with asyncio.timeout(_READ_SECONDS):
            figures = await state.figures.read(state.clock())
    except UNAVAILABLE:
        figures = None
    return Response(state.metrics.expose(figures), media_type=CONTENT_TYPE_LATEST)
