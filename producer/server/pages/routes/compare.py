"""Two jobs over the same pictures, side by side."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from producer.errors import NotComparable
from producer.judging.comparison import Job, compare, pair_rows
from producer.server.auth import Caller, Reader
from producer.server.pages.rendering import PageRoute, page
from producer.server.pages.thumbnails import can_show
from producer.server.pages.views.compare import compared

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Items of each job that are compared while somebody waits for the page: about two seconds.
MOST_ITEMS = 10_000
_WORST = 12
_LISTED = 50


@router.get("/compare")
def show_comparison(
    caller: Reader, a: Annotated[str, Query(max_length=64)] = "", b: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Say what two jobs found differently, and show the pictures on which they differ most."""
    jobs = caller.services.store.jobs(tenant=caller.tenant, limit=_LISTED)
    if not a.strip() or not b.strip():
        return page(caller, "compare.html", jobs=jobs, a=a, b=b, found=None, problem="")
    one, other = _job(caller, a), _job(caller, b)
    found, problem = None, ""
    if max(one.status.total, other.status.total) > MOST_ITEMS:
        problem = (
            f"Jobs of more than {MOST_ITEMS:,} items are compared on the command line: "
            f"nightshift compare {one.status.job_id} {other.status.job_id} -o report"
        )
    else:
        store = caller.services.store
        pairs = pair_rows(store.results(one.status.job_id), store.results(other.status.job_id))
        try:
            found = compared(*compare(one, other, pairs, worst=_WORST), partial(can_show, caller))
        except NotComparable as error:
            problem = str(error)
    ids = one.status.job_id, other.status.job_id
    return page(caller, "compare.html", jobs=jobs, a=ids[0], b=ids[1], found=found, problem=problem)


def _job(caller: Caller, text: str) -> Job:
    job_id = caller.job(text.strip())
    return Job(caller.services.store.status(job_id), caller.services.store.decisions(job_id))
