"""Answers of the HTTP interface that are no dataclasses of `jobstore` itself; `producer.wire` says how they go over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jobstore.aftercare import WebhookEvent
from jobstore.crontimes import CatchUp
from jobstore.export_requests import ExportState
from jobstore.outbox import DeliveryState
from jobstore.schedule_runs import Overlap, ScheduleRun
from jobstore.schedules import ScheduleState
from jobstore.schema import JobId, JobState
from jobstore.views import GateState
from producer.judging.gates import Finding, GateLimits, RunFigures

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """How an export stands.

    Attributes:
        dest: where it is written; None: the server keeps it, and `download` gives it.
        download: path of the zip archive; None: it is not there yet, or lies at `dest`.
        written: by format: items, objects, and problems in words.
    """

    export_id: str
    job_id: JobId
    state: ExportState
    formats: tuple[str, ...]
    options: Mapping[str, Any]
    tries: int
    message: str | None
    created: float
    finished: float | None
    dest: str | None
    download: str | None
    written: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class DeliveryAnswer:
    """One message of a webhook; see `jobstore.outbox.Delivery`.

    Attributes:
        receiver: its scheme and host: the rest of such an address is often a secret.
        next_at: seconds since the epoch; null: it is not sent again.
    """

    delivery_id: str
    job_id: JobId | None
    receiver: str
    event: WebhookEvent
    state: DeliveryState
    tries: int
    last_status: int | None
    last_error: str | None
    created: float
    delivered: float | None
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Resent:
    """A message that was to be sent again; false: its receiver has it already."""

    delivery_id: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class GatesAnswer:
    """What a job's gates say of it; see `producer.judging.gates`.

    Attributes:
        limits: what it is judged by; null: it has no gates.
        state: null: it has none, or has not completed.
        figures: what it came to; null: nobody has judged it yet.
        findings: each gate's.
        compared_with: the good runs that it was held against.
        note: why nothing was judged; empty where something was.
        message: why it could not be judged; null: it could, or nobody tried.
        judged: seconds since the epoch.
    """

    job_id: JobId
    limits: GateLimits | None = None
    state: GateState | None = None
    figures: RunFigures | None = None
    findings: tuple[Finding, ...] = ()
    compared_with: tuple[str, ...] = ()
    note: str = ""
    message: str | None = None
    judged: float | None = None

    @property
    def against(self) -> tuple[Finding, ...]:
        """The findings that speak against the job."""
        return tuple(each for each in self.findings if not each.passed)


@dataclass(frozen=True, slots=True)
class ScheduleAnswer:
    """A schedule as it stands; see `jobstore.schedules.Schedule`.

    Attributes:
        next_at: seconds since the epoch; null: it is paused, or never comes again.
        in_words: when it is due, for people.
        runs: the last ones, the newest first.
    """

    schedule_id: str
    name: str
    job: Mapping[str, Any]
    cron: str
    timezone: str
    catch_up: CatchUp
    overlap: Overlap
    state: ScheduleState
    next_at: float | None
    in_words: str
    runs: tuple[ScheduleRun, ...]


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A run that was asked for: its time names it."""

    schedule: str
    due: float


@dataclass(frozen=True, slots=True)
class Drained:
    """A worker that was asked to leave."""

    worker_id: str
    is_draining: bool


@dataclass(frozen=True, slots=True)
class Stats:
    """Jobs by state; a state that no job has is missing."""

    jobs: Mapping[JobState, int]


@dataclass(frozen=True, slots=True)
class Health:
    """How the server is; a problem says what is wrong."""

    status: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list; `next` is the cursor of what follows, null at the end."""

    data: Sequence[T]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """How many items a part brought."""

    items: int


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an act.

    Attributes:
        is_changed: false where the job was in no state for it.
        items: of a retry, how many run again.
    """

    job: Mapping[str, Any]
    is_changed: bool
    items: int | None = None


@dataclass(frozen=True, slots=True)
class Presigned:
    """Where one file is to be sent by the client itself; `uri` is what a job names it by once it is there.

    Attributes:
        method, url, headers: of the request whose body is the file; the storage refuses others.
        expires: seconds since the epoch after which it refuses this one, too.
    """

    name: str
    uri: str
    method: str
    url: str
    headers: Mapping[str, str]
    expires: float


@dataclass(frozen=True, slots=True)
class Uploaded:
    """One file that was taken; `uri` is what a job names it by."""

    name: str
    uri: str
    sha256: str
    size_bytes: int
