"""Webhooks: what was sent to whom, what they answered, and sending a message again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from jobstore.encoding import is_storable
from jobstore.errors import DeliveryNotFound
from jobstore.outbox import DeliveryState
from jobstore.schema import JobId
from producer.answers import DeliveryAnswer, Page, Resent
from producer.deliveries import told
from producer.server.auth import Caller, Reader, Submitter
from producer.server.bodies import answer, gives, listed
from producer.server.paging import Cursor, PageLimit, cursor_of, place_of
from producer.server.problems import AnsweringRoute

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=AnsweringRoute, default_response_class=Response)

States = Annotated[list[DeliveryState] | None, Query(description="Only messages in these states.")]


@router.get("/webhooks", responses=gives(listed(DeliveryAnswer)))
def list_all(caller: Reader, state: States = None, limit: PageLimit = 50, cursor: Cursor = None) -> Response:
    """List messages about all jobs and schedules of the caller's tenant, the newest first."""
    return _page(caller, None, state, limit, cursor)


@router.get("/jobs/{job_id}/webhooks", responses=gives(listed(DeliveryAnswer)))
def list_of_job(
    caller: Reader, job_id: str, state: States = None, limit: PageLimit = 50, cursor: Cursor = None
) -> Response:
    """List messages about one job, the newest first."""
    return _page(caller, caller.job(job_id), state, limit, cursor)


@router.post("/webhooks/{delivery_id}:retry", responses=gives(Resent))
def retry(caller: Submitter, delivery_id: str) -> Response:
    """Send a message now that no receiver took."""
    if not is_storable(delivery_id):
        raise DeliveryNotFound("no message has an id with such characters")
    return answer(Resent(delivery_id, caller.services.store.outbox.resend(delivery_id, caller.tenant)))


def _page(
    caller: Caller, job_id: JobId | None, states: list[DeliveryState] | None, limit: int, cursor: str | None
) -> Response:
    before = None if cursor is None else place_of(cursor, tuple[float, str])
    outbox = caller.services.store.outbox
    found = outbox.list(tenant=caller.tenant, job_id=job_id, states=tuple(states or ()), limit=limit, before=before)
    following = cursor_of([found[-1].created, found[-1].delivery_id]) if len(found) == limit else None
    return answer(Page([told(each) for each in found], following))
