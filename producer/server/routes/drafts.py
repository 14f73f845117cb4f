"""Drafts: jobs whose items come part by part, so that no request has to hold a million of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from producer.answers import Appended, Change
from producer.server.aftercare import spec_of
from producer.server.auth import Submitter
from producer.server.bodies import answer, gives, json_body, takes
from producer.server.problems import AnsweringRoute
from producer.server.reading import check_place
from producer.server.routes.jobs import JOB, Key
from producer.wire import DraftBody, PartBody, job_record

router = APIRouter(prefix="/v1", tags=["drafts"], route_class=AnsweringRoute, default_response_class=Response)


@router.post("/drafts", status_code=201, responses=gives(JOB, 201), openapi_extra=takes(DraftBody))
def create(
    caller: Submitter, body: Annotated[DraftBody, Depends(json_body(DraftBody))], idempotency_key: Key = None
) -> Response:
    """Accept a job without items; nothing of it runs before it is sealed."""
    job_id = caller.services.producer.create_draft(spec_of(caller, body, idempotency_key))
    record = job_record(caller.services.store.status(job_id))
    return answer(record, 201, {"Location": f"/v1/jobs/{job_id}"})


@router.post("/jobs/{job_id}:append", responses=gives(Appended), openapi_extra=takes(PartBody))
def append(caller: Submitter, job_id: str, body: Annotated[PartBody, Depends(json_body(PartBody))]) -> Response:
    """Add items to a draft, each as the server and the workers see it; a token that came before adds nothing."""
    found = caller.job(job_id)
    refs = [each.ref() for each in body.items]
    for ref in refs:
        check_place(caller, ref.uri)
    return answer(Appended(caller.services.producer.append_items(found, refs, part_token=body.part_token)))


@router.post("/jobs/{job_id}:seal", responses=gives(Change))
def seal(caller: Submitter, job_id: str) -> Response:
    """Let a draft run; it takes no more items."""
    found = caller.job(job_id)
    is_changed = caller.services.producer.seal(found)
    return answer(Change(job_record(caller.services.store.status(found)), is_changed))
