"""Who works, and what waits for whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import RedirectResponse

from jobstore.encoding import is_storable
from jobstore.schema import WorkerId
from jobstore.tokens import Role
from producer.server.auth import Operator, Reader
from producer.server.errors import NotFound
from producer.server.pages.rendering import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/fleet")
def show_fleet(caller: Operator, *, live: Annotated[bool, Query()] = False) -> Response:
    """List worker processes."""
    workers = sorted(
        caller.services.store.fleet.workers(), key=lambda row: (row.state == "stopped", row.host, row.worker_id)
    )
    return page(caller, "parts/worker_list.html" if live else "fleet.html", workers=workers, csrf=caller.csrf)


@router.post("/fleet/drain")
def drain(caller: Operator, worker: Annotated[str, Form(max_length=256)]) -> Response:
    """Ask a worker to finish what it has and to leave."""
    if not is_storable(worker) or not caller.services.store.fleet.drain_worker(WorkerId(worker)):
        raise NotFound("no worker of this id is alive")
    return RedirectResponse("/fleet", status_code=303)


@router.get("/queues")
def show_queues(caller: Reader, *, live: Annotated[bool, Query()] = False) -> Response:
    """Say what waits and why: of all tenants for operators, else of the caller's."""
    tenant = None if caller.role.covers(Role.OPERATOR) else caller.tenant
    queues = caller.services.store.fleet.queues(None, tenant)
    return page(caller, "parts/queue_list.html" if live else "queues.html", queues=queues)
