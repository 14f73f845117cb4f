"""What a job holds: items, decisions, failures, the verdict of its gates, results, events."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from jobstore.item_pages import ItemFilter
from jobstore.schema import DecisionRow, JobId, OutcomeState
from jobstore.views import FailureGroup, ItemRow, ResultRow
from producer.answers import GatesAnswer, Page
from producer.server.auth import Caller, Reader
from producer.server.bodies import answer, gives, listed
from producer.server.paging import Cursor, PageLimit, cursor_of, place_of, storable_text
from producer.server.problems import AnsweringRoute
from producer.server.sse import MEDIA_TYPE, follow, is_over
from producer.wire import encode

router = APIRouter(
    prefix="/v1/jobs/{job_id}", tags=["results"], route_class=AnsweringRoute, default_response_class=Response
)

JSON_LINES = "application/jsonl"
#: Index of the last item of a page; as wide as the database's column.
_MAX_INDEX = 2**31 - 1
States = Annotated[list[OutcomeState] | None, Query(description="Only these outcomes.")]


class ItemState(StrEnum):
    """How an item ended, or that it has not."""

    OK = "ok"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"
    PENDING = "pending"


@router.get("/items", responses=gives(listed(ItemRow)))
def list_items(
    caller: Reader,
    job_id: str,
    state: Annotated[list[ItemState] | None, Query(description="Only these; pending has no outcome yet.")] = None,
    cause: Annotated[list[str] | None, Query(description="Only items that failed with these codes.")] = None,
    limit: PageLimit = 100,
    cursor: Cursor = None,
) -> Response:
    """List a job's items in their order, each with how it ended."""
    found_id = caller.job(job_id)
    wanted = ItemFilter(
        states=tuple(OutcomeState(each) for each in state or () if each is not ItemState.PENDING),
        is_pending=ItemState.PENDING in (state or ()),
        causes=tuple(storable_text("cause", each) for each in cause or ()),
        after=-1 if cursor is None else min(place_of(cursor, int), _MAX_INDEX),
    )
    found = caller.services.store.items(found_id, wanted, limit)
    return answer(Page(found, cursor_of(found[-1].idx) if len(found) == limit else None))


@router.get("/decisions", responses=gives(listed(DecisionRow)))
def list_decisions(caller: Reader, job_id: str) -> Response:
    """Say why which backend ran, one row a worker process, oldest first."""
    return answer(Page(caller.services.producer.decisions(caller.job(job_id))))


@router.get("/failures", responses=gives(listed(FailureGroup)))
def list_failures(caller: Reader, job_id: str) -> Response:
    """Group failed items by cause, the most frequent first."""
    return answer(Page(caller.services.producer.failures(caller.job(job_id))))


@router.get("/gates", responses=gives(GatesAnswer))
def show_gates(caller: Reader, job_id: str) -> Response:
    """Say what a job's gates say of it: its figures, and each gate's finding; of a job without gates, nothing."""
    return answer(caller.services.producer.gates(caller.job(job_id)))


@router.get("/results", responses=gives(ResultRow, media=JSON_LINES))
def stream_results(caller: Reader, job_id: str, state: States = None) -> Response:
    """Give outcomes in the order of the items, one JSON object a line; also while the job runs."""
    lines = _lines(caller, caller.job(job_id), tuple(state or ()))
    return StreamingResponse(lines, media_type=JSON_LINES, headers={"Cache-Control": "no-store"})


@router.get("/events", responses=gives(media=MEDIA_TYPE) | {204: {"description": "The job has ended; all was told"}})
def stream_events(
    caller: Reader, job_id: str, last_event_id: Annotated[str | None, Header(max_length=64)] = None
) -> Response:
    """Follow a job by server-sent events: `event` for what happened, `progress` for the job's figures, `end`."""
    found_id = caller.job(job_id)
    if last_event_id is not None and is_over(caller.services, found_id, storable_text("Last-Event-ID", last_event_id)):
        return Response(status_code=204)
    stream = follow(caller.services, found_id, last_event_id)
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _lines(caller: Caller, job_id: JobId, states: tuple[OutcomeState, ...]) -> Iterator[bytes]:
    for row in caller.services.producer.results(job_id, states=states):
        yield encode(row) + b"\n"
