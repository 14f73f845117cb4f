"""What a person tells a job to do: forms that lead back to its page, and say there what was done."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Form, Response
from fastapi.responses import RedirectResponse

from jobstore.encoding import is_storable
from jobstore.errors import DeliveryNotFound
from jobstore.schema import JobId
from producer.server.aftercare import output_of
from producer.server.auth import Submitter
from producer.server.pages.rendering import PageRoute
from producer.wire import ExportBody

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_SEE_OTHER = 303


class Steering(StrEnum):
    """Acts without a field of their own."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@router.post("/jobs/{job_id}/priority")
def reprioritise(
    caller: Submitter, job_id: str, priority: Annotated[int, Form(ge=-(2**31) + 1, le=2**31 - 1)]
) -> Response:
    """Give a job another priority."""
    found = caller.job(job_id)
    return _back(found, "priority", is_changed=caller.services.producer.reprioritise(found, priority))


@router.post("/jobs/{job_id}/retry")
def retry(caller: Submitter, job_id: str, cause: Annotated[str, Form(max_length=64)] = "") -> Response:
    """Run failed items again: those of one cause, or all."""
    found = caller.job(job_id)
    number = caller.services.producer.retry(found, codes=(cause,) if cause else ())
    return _back(found, "retry", is_changed=number > 0)


@router.post("/jobs/{job_id}/exports")
def export(caller: Submitter, job_id: str, formats: Annotated[list[str], Form(max_length=32)]) -> Response:
    """Ask for an export in some formats."""
    found = caller.job(job_id)
    caller.services.store.exports.ask(found, output_of(caller, ExportBody(formats=tuple(formats))))
    return _back(found, "export", is_changed=True)


@router.post("/jobs/{job_id}/webhooks")
def resend(caller: Submitter, job_id: str, delivery: Annotated[str, Form(min_length=1, max_length=64)]) -> Response:
    """Send a message about the job again that no receiver took."""
    found = caller.job(job_id)
    if not is_storable(delivery):
        raise DeliveryNotFound("no message has an id with such characters")
    return _back(found, "resend", is_changed=caller.services.store.outbox.resend(delivery, caller.tenant))


@router.post("/jobs/{job_id}/gates")
def accept_gates(caller: Submitter, job_id: str) -> Response:
    """Take a run that failed its gates for a good one."""
    found = caller.job(job_id)
    return _back(found, "accept", is_changed=caller.services.producer.accept_gates(found))


@router.post("/jobs/{job_id}/{act}")
def steer(caller: Submitter, job_id: str, act: Steering) -> Response:
    """Pause a job, let it go on, or end it."""
    found, producer = caller.job(job_id), caller.services.producer
    acts = {Steering.PAUSE: producer.pause, Steering.RESUME: producer.resume, Steering.CANCEL: producer.cancel}
    return _back(found, act, is_changed=acts[act](found))


def _back(job_id: JobId, did: str, *, is_changed: bool) -> Response:
    return RedirectResponse(f"/jobs/{job_id}?did={did if is_changed else 'nothing'}", _SEE_OTHER)
