"""One item: its picture, what was found, its record, and how it was made."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from jobstore.item_pages import ItemFilter
from jobstore.schema import JobId
from jobstore.views import ItemRow
from producer.exports.pictures import PictureFailed
from producer.server.auth import Caller, Reader
from producer.server.errors import NotFound
from producer.server.pages.rendering import PageRoute, page
from producer.server.pages.thumbnails import Subject, can_show, tag_of, thumbnail
from producer.server.pages.views.gallery import figure_of
from producer.server.pages.views.overlay import Filter, Overlay, overlay_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Index = Annotated[int, Path(ge=0, le=2**31 - 1)]
Frame = Annotated[int, Query(ge=0, le=2**31 - 1)]
#: Frames of a video that its own page lists.
_FRAMES = 60


@router.get("/jobs/{job_id}/items/{idx}")
def show_item(
    caller: Reader,
    job_id: str,
    idx: Index,
    *,
    frame: Frame = 0,
    score: Annotated[float, Query(ge=0, le=1)] = 0.0,
    only: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """Show an item, or one frame of a video."""
    found, store = caller.job(job_id), caller.services.store
    job, item = store.status(found), _item(caller, found, idx)
    row = store.glances.result(found, idx, frame)
    if row is None and frame:
        raise NotFound(f"item {idx} has no frame {frame} with an outcome")
    record = {} if row is None else row.record or {}
    has_picture = row is not None and row.holds_prediction
    overlay = overlay_of(record, Filter(score, only)) if has_picture else Overlay(1, 1)
    frames = store.glances.results(found, (idx, frame), _FRAMES) if item.clip is not None else ()
    decision = next((each for each in store.decisions(found) if each.decision_id == item.decision_id), None)
    return page(
        caller,
        "item.html",
        job=job,
        item=item,
        row=row,
        frame=frame,
        figure=figure_of(row, overlay, is_shown=can_show(caller, row)) if row is not None else None,
        wanted=Filter(score, only),
        classes=sorted({shape.class_name for shape in overlay.shapes}),
        frames=[each.frame for each in frames if each.idx == idx],
        decision=decision,
        timings=dict((row.timings_ms if row is not None else None) or {}),
    )


@router.get("/jobs/{job_id}/items/{idx}/picture")
def show_picture(  # noqa: PLR0913 (the fields of its address)
    request: Request,
    caller: Reader,
    job_id: str,
    idx: Index,
    *,
    frame: Frame = 0,
    size: Literal["small", "large"] = "small",
    drawn: bool = False,
) -> Response:
    """Give an item's picture, made small; its place on disk is never part of an address."""
    found = caller.job(job_id)
    subject = _subject(caller, found, idx, frame)
    tag = f'"{tag_of(subject, size, is_drawn=drawn)}"'
    headers = {"Cache-Control": "private, max-age=3600", "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    try:
        small = thumbnail(caller, request.app.state.remote, subject, size, is_drawn=drawn)
        return Response(small, media_type="image/jpeg", headers=headers)
    except PictureFailed as error:
        raise NotFound(str(error)) from error


def _item(caller: Caller, job_id: JobId, idx: int) -> ItemRow:
    found = caller.services.store.items(job_id, ItemFilter(after=idx - 1), 1)
    if not found or found[0].idx != idx:
        raise NotFound(f"the job has no item {idx}")
    return found[0]


def _subject(caller: Caller, job_id: JobId, idx: int, frame: int) -> Subject:
    """The picture of an outcome, or of an item that waits: it can be looked at before it is labelled."""
    row = caller.services.store.glances.result(job_id, idx, frame)
    if row is not None and (row.clip is None or row.frame):
        return Subject(row.uri, row.frame, row.attempt, row.record, row.blob)
    item = _item(caller, job_id, idx)
    if item.clip is not None:
        raise NotFound("a video as a whole has no picture: name a frame that has an outcome")
    return Subject(item.uri)
