"""Machines and queues. Those of all tenants are for operators; others see what waits of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from jobstore.encoding import is_storable
from jobstore.schema import WorkerId, WorkerRow
from jobstore.tokens import Role
from jobstore.views import AutoscaleFigures, QueueRow
from producer.server.auth import Operator, Reader
from producer.server.bodies import answer, gives, listed
from producer.server.errors import NotFound
from producer.server.problems import AnsweringRoute
from producer.wire import Drained, Page, Stats

router = APIRouter(prefix="/v1", tags=["fleet"], route_class=AnsweringRoute, default_response_class=Response)

HardwareClass = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]


@router.get("/workers", responses=gives(listed(WorkerRow)))
def list_workers(caller: Operator) -> Response:
    """List worker processes of the last day, as they report themselves."""
    return answer(Page(caller.services.producer.workers()))


@router.post("/workers/{worker_id}:drain", responses=gives(Drained))
def drain(caller: Operator, worker_id: str) -> Response:
    """Ask a worker to finish what it has and to leave."""
    if not is_storable(worker_id) or not caller.services.store.fleet.drain_worker(WorkerId(worker_id)):
        raise NotFound("no worker of this id is alive; /v1/workers lists them")
    return answer(Drained(worker_id, is_draining=True))


@router.get("/queues", responses=gives(listed(QueueRow)))
def list_queues(
    caller: Reader, hardware: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z0-9-]+$")] = None
) -> Response:
    """Give what waits and runs in each queue, and why: of all tenants for operators, else of the caller's."""
    tenant = None if caller.role.covers(Role.OPERATOR) else caller.tenant
    return answer(Page(caller.services.store.fleet.queues(hardware, tenant)))


@router.get("/autoscale/{hardware}", responses=gives(AutoscaleFigures))
def autoscale(caller: Operator, hardware: HardwareClass) -> Response:
    """Give how much work a hardware class has, and how many workers: what starts and stops them by itself."""
    return answer(caller.services.store.fleet.autoscale(hardware))


@router.get("/stats", responses=gives(Stats))
def stats(caller: Reader) -> Response:
    """Count the caller's jobs by state."""
    return answer(Stats(caller.services.store.job_counts(caller.tenant)))
