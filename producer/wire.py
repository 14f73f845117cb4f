"""What goes over HTTP as JSON. The server and the remote client both read and write it with this module.

Answers are the dataclasses of `jobstore.schema` and `jobstore.views`, field by field; a job has what is computed from
its counters beside them. Bytes are base64, times seconds since the epoch. What a reader does not know it passes over,
so that fields can be added; what a server does not know it refuses, so that no wish is lost by a slip of the pen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import msgspec
from msgspec import Meta, Struct

from jobstore.crontimes import CatchUp
from jobstore.errors import InvalidJob
from jobstore.export_requests import ExportState
from jobstore.schedule_runs import Overlap, ScheduleRun
from jobstore.schedules import ScheduleState
from jobstore.schema import ItemRef, JobId, JobSpec, JobState, OutcomeState
from jobstore.views import JobStatus
from videos.options import Clip, VideoOptions

T = TypeVar("T")

#: Fields of a job's spec that no body says: the token and the header `Idempotency-Key` give the first two, and who is
#: told and where files go is for the server's operator.
NOT_ASKED = frozenset({"request_hash", "tenant", "client_token", "webhooks", "output", "schedule_id", "gates"})
#: What an answer about a job has beside the fields of `JobStatus`: name -> its property.
DERIVED = {
    "done": "done",
    "pending": "pending",
    "is_ended": "is_ended",
    "is_settled": "is_settled",
    "is_over_failure_limit": "is_over_failure_limit",
    "elapsed_seconds": "elapsed_s",
    "items_per_second": "items_per_second",
    "eta_seconds": "eta_s",
}

Text = Annotated[str, Meta(min_length=1, max_length=4096)]
ShortText = Annotated[str, Meta(max_length=256)]
#: A 32-bit integer, as the database's column.
Number = Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
#: Seconds since the epoch, up to the year 9999.
Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]


class ClipBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a video that one item stands for, in seconds after its first frame."""

    start_s: Annotated[float, Meta(ge=0)] = 0.0
    end_s: Annotated[float, Meta(ge=0)] | None = None


class ItemBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to label; see `jobstore.schema.ItemRef`."""

    uri: Text
    metadata: dict[str, Any] | None = None
    clip: ClipBody | None = None

    def ref(self) -> ItemRef:
        """Give the store's word for it."""
        clip = None if self.clip is None else Clip(self.clip.start_s, self.clip.end_s)
        return ItemRef(self.uri, self.metadata, clip)


class VideoBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which frames of videos are labelled; see `videos.options.VideoOptions`."""

    fps: Annotated[float, Meta(gt=0)] | None = None
    every: Positive | None = None
    keyframes: bool = False
    start_s: Annotated[float, Meta(ge=0)] = 0.0
    end_s: Annotated[float, Meta(gt=0)] | None = None
    segment_s: Annotated[float, Meta(ge=0.1)] | None = None
    fail_partial: bool = False
    track: bool = False

    def options(self) -> VideoOptions:
        """Give the checked options.

        Raises:
            InvalidJob: fields that exclude each other, which no description of a body can say.
        """
        try:
            return VideoOptions(**msgspec.structs.asdict(self))
        except ValueError as error:
            raise InvalidJob(f"video: {error}") from error


class DraftBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job is asked for with, but for its items; fields as in `jobstore.schema.JobSpec`."""

    model: Text
    name: ShortText = ""
    params: dict[str, Any] = {}
    wishes: dict[str, Any] = {}
    hardware: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=32)] = ("auto",)
    priority: Number = 0
    max_failure_rate: Annotated[float, Meta(ge=0, le=1)] = 0.02
    max_failures: Count | None = None
    canary_items: Count | None = None
    deadline: Moment | None = None
    expires: Moment | None = None
    shard_size: Positive | None = None
    tags: dict[str, str] = {}
    video: VideoBody | None = None
    use_cache: bool = True

    @classmethod
    def of(cls, spec: JobSpec, **more: Any) -> Self:
        """Give the body that asks a server for this job; `more` are fields that no spec has."""
        asked = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in NOT_ASKED}
        return decode(encode({**asked, **more}), cls)

    def request_hash(self) -> str:
        """Give what tells this request from another with the same key: all of it but its times, sources included."""
        asked = msgspec.structs.replace(self, deadline=None, expires=None)
        return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()

    def spec(self, tenant: str, client_token: str | None, hardware: tuple[str, ...]) -> JobSpec:
        """Give the store's word for it; `hardware` is the list with `auto` replaced.

        Raises:
            InvalidJob: video options that exclude each other.
        """
        asked = {field.name: getattr(self, field.name) for field in fields(JobSpec) if field.name not in NOT_ASKED}
        asked |= {"video": self.video and self.video.options(), "hardware": hardware}
        asked |= {"request_hash": self.request_hash()}
        return JobSpec(**asked, tenant=tenant, client_token=client_token)


class JobBody(DraftBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job is asked for with, and what it labels.

    Attributes:
        sources: folders, patterns, manifests, pictures and videos as the server and the workers see them.
        items: single items with their metadata, after those of `sources`.
        limit: items at most.
    """

    sources: Annotated[tuple[Text, ...], Meta(max_length=10_000)] = ()
    items: tuple[ItemBody, ...] = ()
    limit: Positive | None = None


class PartBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More items of a draft; a part with a token that came before adds nothing."""

    items: Annotated[tuple[ItemBody, ...], Meta(min_length=1, max_length=100_000)]
    part_token: Annotated[str, Meta(min_length=1, max_length=200)]


class ResumeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New limits of a job that goes on; what is absent stays."""

    max_failures: Count | None = None
    max_failure_rate: Annotated[float, Meta(ge=0, le=1)] | None = None


class PriorityBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another priority; higher goes first."""

    priority: Number


class RetryBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which items run again, and how; nothing said: all that failed, as before."""

    states: tuple[Literal["failed", "skipped"], ...] = ("failed",)
    causes: tuple[ShortText, ...] = ()
    batch_size: Positive | None = None
    hardware: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=32)] = ()

    def outcomes(self) -> tuple[OutcomeState, ...]:
        """Give the states as the store calls them."""
        return tuple(OutcomeState(state) for state in self.states)


class ExportBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which formats to write, and of what; see `producer.exports.ExportOptions`."""

    formats: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(min_length=1, max_length=32)]
    min_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.0
    classes: tuple[ShortText, ...] = ()
    save_conf: bool = False
    with_images: bool = False

    def options(self) -> dict[str, Any]:
        """Give the fields of `ExportOptions` that differ from the defaults."""
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if name != "formats" and value not in (0, (), False)}


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """How an export stands.

    Attributes:
        dest: where a job's own `output` is written; None: on the server, from where `download` gives it.
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
class Uploaded:
    """One file that was taken; `uri` is what a job names it by."""

    name: str
    uri: str
    sha256: str
    size_bytes: int


def job_record(status: JobStatus, **more: Any) -> dict[str, Any]:
    """Give a job as its answer has it: the status, what is computed from it, and `more`."""
    derived = {name: getattr(status, attribute) for name, attribute in DERIVED.items()}
    plain: dict[str, Any] = msgspec.to_builtins(status)
    return {**plain, **derived, **more}


def encode(value: Any) -> bytes:
    """Give compact JSON."""
    return msgspec.json.encode(value)


def decode(content: bytes | str, kind: type[T]) -> T:
    """Read JSON as a value of `kind`, a dataclass of an answer or a body.

    Raises:
        msgspec.DecodeError: no JSON.
        msgspec.ValidationError: naming the field that is wrong.
    """
    return msgspec.json.decode(content, type=kind)
