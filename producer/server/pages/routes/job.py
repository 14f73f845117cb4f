"""One job: how far it is, what is slow, why this backend, what failed, what was found."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from jobstore.item_pages import ItemFilter
from jobstore.schema import JobId
from jobstore.tokens import Role
from producer.deliveries import told
from producer.ending import ending_lines
from producer.exports.registry import every_format
from producer.server.auth import Caller, Reader
from producer.server.pages.rendering import PageRoute, page
from producer.server.pages.thumbnails import can_show
from producer.server.pages.views.decisions import decided
from producer.server.pages.views.gallery import gallery_of
from producer.server.pages.views.overlay import Filter
from producer.server.pages.views.progress import progress_of
from producer.server.pages.views.recipe import command_of
from producer.server.pages.views.stages import slowness_of, store_ms_of
from producer.verdicts import gates_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_EVENTS, _EXPORTS, _MESSAGES = 40, 20, 20
#: What a form did, by the word in the address it leads back to.
DONE = {
    "pause": "The job is paused.",
    "resume": "The job goes on.",
    "cancel": "The job is cancelled.",
    "priority": "The job has its new priority.",
    "retry": "The items run again.",
    "export": "The export is asked for; it appears under Downloads.",
    "resend": "The message is sent now.",
    "accept": "The run counts as a good one now: later runs are held against it.",
    "nothing": "Nothing was changed: the job is in no state for it.",
}


@router.get("/jobs/{job_id}")
def show_job(  # noqa: PLR0913 (the fields of its forms)
    caller: Reader,
    job_id: str,
    *,
    score: Annotated[float, Query(ge=0, le=1)] = 0.0,
    only: Annotated[str, Query(max_length=256)] = "",
    after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
    after_frame: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    did: Annotated[str, Query(max_length=16)] = "",
) -> Response:
    """Show a job."""
    found, store = caller.job(job_id), caller.services.store
    shown, gates = _live(caller, found), gates_of(store, found)
    job = shown["progress"].job
    ends = {0, max(job.total - 1, 0)}
    uris = [item.uri for idx in sorted(ends) for item in store.items(found, ItemFilter(after=idx - 1), 1)]
    gallery = gallery_of(
        lambda place, limit: store.glances.results(found, place, limit),
        (after, after_frame),
        Filter(score, only),
        partial(can_show, caller),
    )
    return page(
        caller,
        "job.html",
        **{**shown, **_exports(caller, found), **_messages(caller, found), "gates": gates},
        decisions=decided(store.decisions(found)),
        gallery=gallery,
        is_first=after < 0,
        command=command_of(job, uris, gates.limits),
        formats=[each.name for each in every_format()],
        events=store.glances.events(found, _EVENTS),
        said=DONE.get(did, ""),
    )


@router.get("/jobs/{job_id}/live")
def show_live(caller: Reader, job_id: str) -> Response:
    """Give the part of the page that changes while the job works."""
    return page(caller, "parts/job_live.html", **_live(caller, caller.job(job_id)))


@router.get("/jobs/{job_id}/downloads")
def show_downloads(caller: Reader, job_id: str) -> Response:
    """Give the list of exports, which changes while one is made."""
    return page(caller, "parts/downloads.html", **_exports(caller, caller.job(job_id)))


@router.get("/jobs/{job_id}/gates")
def show_gates(caller: Reader, job_id: str) -> Response:
    """Give what a job's gates say of it, which changes once it is judged."""
    found = caller.job(job_id)
    gates, job = gates_of(caller.services.store, found), caller.services.store.status(found)
    may_act = caller.role.covers(Role.SUBMITTER)
    return page(caller, "parts/gates.html", gates=gates, job=job, may_act=may_act, csrf=caller.csrf)


@router.get("/jobs/{job_id}/webhooks")
def show_messages(caller: Reader, job_id: str) -> Response:
    """Give the list of messages of webhooks, which changes while one is sent."""
    return page(caller, "parts/webhooks.html", **_messages(caller, caller.job(job_id)))


def _messages(caller: Caller, job_id: JobId) -> dict[str, Any]:
    found = caller.services.store.outbox.list(tenant=caller.tenant, job_id=job_id, limit=_MESSAGES)
    may_act = caller.role.covers(Role.SUBMITTER)
    return {"job_id": job_id, "messages": [told(each) for each in found], "may_act": may_act, "csrf": caller.csrf}


def _exports(caller: Caller, job_id: JobId) -> dict[str, Any]:
    return {"job_id": job_id, "exports": caller.services.store.exports.of_job(job_id)[:_EXPORTS]}


def _live(caller: Caller, job_id: JobId) -> dict[str, Any]:
    store = caller.services.store
    job = store.status(job_id)
    pace = store.glances.pace(job_id) if not job.is_ended else None
    rows = store.decisions(job_id)
    workers = {row.worker_id for row in rows}
    mine = [worker for worker in store.fleet.workers() if worker.worker_id in workers]
    return {
        "progress": progress_of(job, pace),
        "ending": ending_lines(job),
        "pace": pace,
        "slowness": slowness_of(store.glances.stage_times(job_id, job.total), store_ms_of(mine, job.model)),
        "failures": store.failures(job_id) if job.failed else [],
        "waiting": None if job.is_settled else store.why_waiting(job_id),
        "may_act": caller.role.covers(Role.SUBMITTER),
        "csrf": caller.csrf,
    }
