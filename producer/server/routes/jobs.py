"""Jobs: submit, list, look at one, steer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from jobstore.reading import JobFilter
from jobstore.schema import JobId, JobState
from producer.answers import Change, Page
from producer.judging.gates import words_of
from producer.server.aftercare import spec_of
from producer.server.auth import Caller, Reader, Submitter
from producer.server.bodies import answer, gives, json_body, listed, takes
from producer.server.paging import Cursor, PageLimit, cursor_of, place_of, storable_text
from producer.server.problems import AnsweringRoute
from producer.server.reading import items_of
from producer.wire import JobBody, PriorityBody, ResumeBody, RetryBody, job_record

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=AnsweringRoute, default_response_class=Response)

#: Component of the description that is a job; made in `producer.server.describing`.
JOB = {"$ref": "#/components/schemas/Job"}
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="A second request with the same key gives the first one's job.",
    ),
]

Since = Annotated[float | None, Query(ge=0, le=1e11, allow_inf_nan=False, description="Oldest creation time.")]


@router.post("/jobs", status_code=201, responses=gives(JOB, 201, more=(200,)), openapi_extra=takes(JobBody))
def submit(
    caller: Submitter, body: Annotated[JobBody, Depends(json_body(JobBody))], idempotency_key: Key = None
) -> Response:
    """Accept a job: once this answers, the work is safe. 200: an earlier request with the same key made it."""
    services = caller.services
    spec = spec_of(caller, body, idempotency_key)
    known = None if idempotency_key is None else services.store.job_of_token(caller.tenant, idempotency_key)
    job_id = services.producer.submit(spec, items_of(caller, body))
    status = 201 if known is None else 200
    return answer(_job(caller, job_id), status, {"Location": f"/v1/jobs/{job_id}"})


@router.get("/jobs", responses=gives(listed(JOB)))
def list_jobs(
    caller: Reader,
    state: Annotated[list[JobState] | None, Query(description="Only these states.")] = None,
    since: Since = None,
    q: Annotated[str, Query(max_length=200, description="In the id, name, model or tags.")] = "",
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Response:
    """List jobs, the newest first."""
    before = None if cursor is None else place_of(cursor, tuple[float, str])
    wanted = JobFilter(caller.tenant, tuple(state or ()), since, storable_text("q", q), before)
    found = caller.services.store.find_jobs(wanted, limit)
    following = cursor_of([found[-1].created, found[-1].job_id]) if len(found) == limit else None
    return answer(Page([job_record(job) for job in found], following))


@router.get("/jobs/{job_id}", responses=gives(JOB))
def show_job(caller: Reader, job_id: str) -> Response:
    """Give one job, with why it waits and what its gates say against it.

    The id may be shortened to a unique beginning or tail.
    """
    return answer(_job(caller, caller.job(job_id)))


@router.post("/jobs/{job_id}:cancel", responses=gives(Change))
def cancel(caller: Submitter, job_id: str) -> Response:
    """End a job; what was labelled stays, what was not is skipped."""
    return _change(caller, job_id, caller.services.producer.cancel)


@router.post("/jobs/{job_id}:pause", responses=gives(Change))
def pause(caller: Submitter, job_id: str) -> Response:
    """Stop a job until it is resumed."""
    return _change(caller, job_id, caller.services.producer.pause)


@router.post("/jobs/{job_id}:resume", responses=gives(Change), openapi_extra=takes(ResumeBody, is_optional=True))
def resume(
    caller: Submitter, job_id: str, body: Annotated[ResumeBody, Depends(json_body(ResumeBody, is_optional=True))]
) -> Response:
    """Go on with a job that was paused or needs attention, with other limits where they are given."""
    resumed = caller.services.producer.resume
    return _change(caller, job_id, lambda found: resumed(found, body.max_failures, body.max_failure_rate))


@router.post("/jobs/{job_id}:priority", responses=gives(Change), openapi_extra=takes(PriorityBody))
def reprioritise(
    caller: Submitter, job_id: str, body: Annotated[PriorityBody, Depends(json_body(PriorityBody))]
) -> Response:
    """Give a job another priority; higher goes first."""
    change = caller.services.producer.reprioritise
    return _change(caller, job_id, lambda found: change(found, body.priority))


@router.post("/jobs/{job_id}:retry", responses=gives(Change), openapi_extra=takes(RetryBody, is_optional=True))
def retry(
    caller: Submitter, job_id: str, body: Annotated[RetryBody, Depends(json_body(RetryBody, is_optional=True))]
) -> Response:
    """Run failed or skipped items again, in the same job; all that failed, or those of some causes."""
    found = caller.job(job_id)
    number = caller.services.producer.retry(
        found, states=body.outcomes(), codes=body.causes, batch_size=body.batch_size, hardware=body.hardware
    )
    return answer(Change(_job(caller, found), bool(number), number))


@router.post("/jobs/{job_id}/gates:accept", responses=gives(Change))
def accept_gates(caller: Submitter, job_id: str) -> Response:
    """Take a run that failed its gates for a good one, which later runs are held against."""
    return _change(caller, job_id, caller.services.producer.accept_gates)


def _change(caller: Caller, text: str, act: Callable[[JobId], bool]) -> Response:
    job_id = caller.job(text)
    is_changed = act(job_id)
    return answer(Change(_job(caller, job_id), is_changed))


def _job(caller: Caller, job_id: JobId) -> dict[str, object]:
    store = caller.services.store
    job = store.status(job_id)
    verdict = None if job.gates is None else store.verdicts.of_job(job_id)
    against = None if verdict is None else words_of(verdict) or None
    return job_record(job, waiting=store.why_waiting(job_id), gates_message=against)
