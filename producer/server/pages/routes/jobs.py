"""The list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from jobstore.encoding import is_storable
from jobstore.reading import JobFilter
from jobstore.schema import JobState
from producer.server.auth import Reader
from producer.server.pages.rendering import PageRoute, page
from producer.server.pages.views.progress import progress_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_JOBS = 30
#: Chips of the list -> the states that they stand for.
_GROUPS: dict[str, Sequence[JobState]] = {
    "all": (),
    "working": (JobState.CANARY, JobState.RUNNING, JobState.DRAFT),
    "waiting for you": (JobState.NEEDS_ATTENTION, JobState.PAUSED),
    "done": (JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS),
    "ended early": (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED),
}


@router.get("/jobs")
def list_jobs(
    caller: Reader,
    *,
    show: Annotated[str, Query(max_length=32)] = "all",
    search: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[float | None, Query()] = None,
    before_id: Annotated[str, Query(max_length=64)] = "",
    live: Annotated[bool, Query()] = False,
) -> Response:
    """List the tenant's jobs, the newest first."""
    store = caller.services.store
    group = show if show in _GROUPS else "all"
    text = search.strip() if is_storable(search) and is_storable(before_id) else ""
    place = (before, before_id) if before is not None else None
    found = store.find_jobs(JobFilter(caller.tenant, _GROUPS[group], None, text, place), _JOBS + 1)
    counts = store.job_counts(caller.tenant)
    chips = {name: sum(counts.get(state, 0) for state in states or counts) for name, states in _GROUPS.items()}
    last = found[_JOBS - 1] if len(found) > _JOBS else None
    return page(
        caller,
        "parts/job_list.html" if live else "jobs.html",
        jobs=[progress_of(job) for job in found[:_JOBS]],
        chips=chips,
        group=group,
        search=text,
        last=last,
        is_first=place is None,
        is_live=any(not job.is_settled for job in found),
    )
