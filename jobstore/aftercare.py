"""Who is told of a job, and what is written when it ends. Pure data, as in `jobstore.schema`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class WebhookEvent(StrEnum):
    """What a webhook tells of; its `type` in the message."""

    STARTED = "job.started"  # a worker took its first shard
    FINISHED = "job.finished"  # it ended in any other way than `job.failed`
    FAILED = "job.failed"  # it could not go on
    OVER_FAILURE_RATE = "job.over_failure_rate"  # more items failed than its limits allow: it ended so, or was stopped
    NEEDS_ATTENTION = "job.needs_attention"  # it stopped itself and waits for somebody's decision
    GATES_FAILED = "job.gates_failed"  # it ended, and its figures lie too far from those of the good runs before it
    MISSED = "schedule.missed"  # a time of a schedule passed without a job
    TEST = "test"  # somebody tries the receiver


#: What is told where nobody says of what.
USUAL_EVENTS = (
    WebhookEvent.FINISHED,
    WebhookEvent.FAILED,
    WebhookEvent.NEEDS_ATTENTION,
    WebhookEvent.GATES_FAILED,
    WebhookEvent.MISSED,
)


#: Begins the `dest` of an export that a server keeps for download; the name of its folder follows (`producer.shelf`).
SHELF = "shelf:"
#: An address without a user name and a password, which would stand in rows.
_ADDRESS = re.compile(r"https?://[^@/?#\s]+([/?#]\S*)?")
_BUCKET = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]*(/[^\x00-\x1f]*)?")


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver.

    Attributes:
        url: where the message is sent by POST.
        secret_env: variable of the sender's environment that holds the signing secret; None: not signed.
        on: events that are told.
    """

    url: str
    secret_env: str | None = None
    on: tuple[WebhookEvent, ...] = USUAL_EVENTS


@dataclass(frozen=True, slots=True)
class Output:
    """What is exported when a job ends.

    Attributes:
        dest: an absolute folder, `s3://bucket/prefix`, or `SHELF` and the name of a server's folder for downloads.
        formats: names of export formats; empty: those of the usual ones that fit.
        options: fields of the exporter's options that differ from the defaults.
    """

    dest: str
    formats: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def aftercare_problems(webhooks: Iterable[Webhook], output: Output | None) -> Iterator[str]:
    """Say what is wrong with who is told and with what is written, of what shows without asking anybody."""
    for each in webhooks:
        if not _ADDRESS.fullmatch(each.url):
            yield "a webhook's address: expected http(s)://host/..., without user name, password and spaces"
        if not each.on:
            yield "a webhook that is told of nothing: expected some of " + ", ".join(WebhookEvent)
    if output is not None and not output.dest.startswith(("/", SHELF)) and not _BUCKET.fullmatch(output.dest):
        yield f"output to {output.dest[:200]!r}: expected an absolute folder or s3://bucket/prefix"
