"""For whoever keeps the server running: is it alive, can it work, and its numbers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from jobstore.errors import JobStoreError
from producer.answers import Health
from producer.server.auth import Operator
from producer.server.bodies import answer, gives
from producer.server.errors import NotReady
from producer.server.problems import AnsweringRoute
from producer.server.services import Services

router = APIRouter(tags=["health"], route_class=AnsweringRoute, default_response_class=Response)

#: Needs no token: probes have none.
OPEN: dict[str, Any] = {"security": []}
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/healthz", responses=gives(Health), openapi_extra=OPEN)
async def healthz() -> Response:
    """Say that the process answers."""
    return answer(Health("ok"))


@router.get("/readyz", responses=gives(Health), openapi_extra=OPEN)
def readyz(request: Request) -> Response:
    """Say whether database, schema and broker are as they have to be."""
    services: Services = request.app.state.services
    try:
        services.store.check_schema()
        if not services.producer.is_silent():
            services.doorbell.version()
    except JobStoreError as error:
        raise NotReady(f"not ready: {error.code}; the server's log and `nightshift doctor` say more") from error
    return answer(Health("ok"))


@router.get("/metrics", responses=gives(media=_METRICS))
def metrics(caller: Operator) -> Response:
    """Give numbers for Prometheus; docs/metrics.md has each."""
    return Response(caller.services.metrics(), media_type=_METRICS)
