"""Server-sent events of one job (HTML standard, section 9.2): what happened, how far it is, and its end.

`event` has an id, from which a reader who was cut off goes on (`Last-Event-ID`); `progress` is the job as it stands,
sent when a figure changes; `end` comes last, and then the stream ends. A reader that comes back after it gets 204, at
which browsers stop asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from producer.wire import encode, job_record

if TYPE_CHECKING:
    from jobstore.schema import JobId
    from jobstore.views import JobEvent, JobStatus
    from producer.server.services import Services

MEDIA_TYPE = "text/event-stream"
#: What changes by itself, and is no news.
_CLOCKS = ("now", "elapsed_seconds", "items_per_second", "eta_seconds")


def is_over(services: Services, job_id: JobId, last_event_id: str) -> bool:
    """Say whether a reader who saw this event has seen everything of an ended job."""
    events = services.store.events(job_id)
    return services.store.status(job_id).is_ended and bool(events) and events[-1].event_id == last_event_id


async def follow(services: Services, job_id: JobId, last_event_id: str | None) -> AsyncIterator[bytes]:
    """Give the stream's bytes, message by message, until the job has ended."""
    options, told, silent_s = services.options, None, 0.0
    while True:
        status, events = await run_sync(_look, services, job_id, last_event_id)
        news = [_message("event", encode(event), event.event_id) for event in events]
        last_event_id = events[-1].event_id if events else last_event_id
        figures = {name: value for name, value in job_record(status).items() if name not in _CLOCKS}
        if figures != told:
            news.append(_message("progress", encode(job_record(status))))
            told = figures
        if status.is_ended:
            news.append(_message("end", encode({"state": status.state})))
        silent_s = 0.0 if news else silent_s + options.look_s
        if silent_s >= options.keep_alive_s:
            news, silent_s = [b": still here\n\n"], 0.0
        if news:
            yield b"".join(news)
        if status.is_ended:
            return
        await asyncio.sleep(options.look_s)


def _look(services: Services, job_id: JobId, after: str | None) -> tuple[JobStatus, list[JobEvent]]:
    """The status first: an end that it shows has its event written."""
    status = services.store.status(job_id)
    return status, services.store.events(job_id, after)


def _message(kind: str, data: bytes, event_id: str = "") -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {kind}\ndata: ".encode() + data + b"\n\n"
