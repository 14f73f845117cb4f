"""What goes over HTTP as JSON. The server and the remote client both read and write it with this module.

Answers are the dataclasses of `jobstore.schema`, `jobstore.views` and `producer.answers`, field by field; a job has
what is computed from its counters beside them. Bytes are base64, times seconds since the epoch. What a reader does not
know it passes over, so that fields can be added; what a server does not know it refuses, so that no wish is lost by a
slip of the pen.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta, Struct

from jobstore.aftercare import SHELF, USUAL_EVENTS, Output, Webhook, WebhookEvent
from jobstore.errors import InvalidJob
from jobstore.schema import ItemRef, JobSpec, OutcomeState
from jobstore.views import JobStatus
from producer.judging.gates import GateLimits
from videos.options import Clip, VideoOptions

T = TypeVar("T")

#: Fields of a job's spec that no body says: token and header `Idempotency-Key` give them, or a schedule does.
NOT_ASKED = frozenset({"request_hash", "tenant", "client_token", "schedule_id"})
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

#: Fields of `producer.exports.ExportOptions` that a body says beside formats and destination.
EXPORT_OPTIONS = ("min_confidence", "classes", "states", "save_conf", "with_images", "previews")
#: Each is in memory until the page is written.
MOST_PREVIEWS = 10_000

Text = Annotated[str, Meta(min_length=1, max_length=4096)]
ShortText = Annotated[str, Meta(max_length=256)]
#: A 32-bit integer, as the database's column.
Number = Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
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

    fps: Annotated[float, Meta(ge=1e-6)] | None = None
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


class WebhookBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of a job; see `jobstore.aftercare.Webhook`."""

    #: Without user name and password, which would stand in rows.
    url: Annotated[str, Meta(max_length=2048, pattern=r"^https?://[!\"$-.0->A-~]+([/?#][!-~]*)?$")]
    secret_env: Annotated[str, Meta(max_length=128, pattern=r"^[A-Z0-9_]*HOOK[A-Z0-9_]*$")] | None = None
    on: Annotated[tuple[WebhookEvent, ...], Meta(min_length=1, max_length=8)] = USUAL_EVENTS

    def receiver(self) -> Webhook:
        """Give the store's word for it."""
        return Webhook(self.url, self.secret_env, self.on)


class ExportBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which formats to write, where to, and of what; see `producer.exports.ExportOptions`.

    Attributes:
        formats: empty: those of the usual ones that fit.
        dest: `s3://bucket/prefix`, or a folder that the server's operator allows; None: the server keeps the files, and
            `download` gives them.
        previews: pictures at most of a page to look at, which is written beside the formats; None: no such page, unless
            the formats name it.
    """

    formats: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=32)] = ()
    dest: Text | None = None
    min_confidence: Share = 0.0
    classes: tuple[ShortText, ...] = ()
    states: Annotated[tuple[OutcomeState, ...], Meta(max_length=len(OutcomeState))] = ()
    save_conf: bool = False
    with_images: bool = False
    previews: Annotated[int, Meta(ge=1, le=MOST_PREVIEWS)] | None = None

    def options(self) -> dict[str, Any]:
        """Give the fields of `ExportOptions` that differ from the defaults."""
        given = msgspec.structs.asdict(self)
        return {name: given[name] for name in EXPORT_OPTIONS if given[name] not in (0, (), False, None)}

    @classmethod
    def of(cls, output: Output) -> Self:
        """Give the body that asks a server for this."""
        dest = None if output.dest.startswith(SHELF) else output.dest
        return decode(encode({**output.options, "formats": output.formats, "dest": dest}), cls)


_USUAL = GateLimits()


class GatesBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a run may lie from those before it; null lets all pass: `producer.judging.gates.GateLimits`."""

    empty_rate_rise: Share | None = _USUAL.empty_rate_rise
    objects_change: Annotated[float, Meta(ge=0)] | None = _USUAL.objects_change
    class_distance: Share | None = _USUAL.class_distance
    failed_rate_rise: Share | None = _USUAL.failed_rate_rise
    speed_share: Share | None = _USUAL.speed_share
    min_images: Positive = _USUAL.min_images

    def limits(self) -> dict[str, Any]:
        """Give those that differ from the usual ones."""
        return GateLimits(**msgspec.structs.asdict(self)).unusual()


class DraftBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job is asked for with, but for its items; fields as in `jobstore.schema.JobSpec`."""

    model: Text
    name: ShortText = ""
    params: dict[str, Any] = {}
    wishes: dict[str, Any] = {}
    hardware: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(min_length=1, max_length=32)
    ] = ("auto",)
    priority: Number = 0
    max_failure_rate: Share = 0.02
    max_failures: Count | None = None
    canary_items: Count | None = None
    deadline: Moment | None = None
    expires: Moment | None = None
    shard_size: Positive | None = None
    tags: dict[str, str] = {}
    video: VideoBody | None = None
    use_cache: bool = True
    webhooks: Annotated[tuple[WebhookBody, ...], Meta(max_length=8)] = ()
    output: ExportBody | None = None
    gates: GatesBody | None = None

    @classmethod
    def of(cls, spec: JobSpec, **more: Any) -> Self:
        """Give the body that asks a server for this job; `more` are fields that no spec has.

        Raises:
            InvalidJob: a field that no body can hold.
        """
        asked = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in NOT_ASKED}
        try:
            asked["output"] = None if spec.output is None else ExportBody.of(spec.output)
            return decode(encode({**asked, **more}), cls)
        except msgspec.ValidationError as error:
            raise InvalidJob(f"a server takes no such job: {error}") from error

    def request_hash(self) -> str:
        """Give what tells this request from another with the same key: all of it but its times, sources included."""
        asked = msgspec.structs.replace(self, deadline=None, expires=None)
        return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()

    def spec(self, tenant: str, client_token: str | None, output: Output | None) -> JobSpec:
        """Give the store's word for it; `output` is the body's, with the place that the server chose for it.

        Raises:
            InvalidJob: video options that exclude each other.
        """
        asked = {field.name: getattr(self, field.name) for field in fields(JobSpec) if field.name not in NOT_ASKED}
        asked |= {"video": self.video and self.video.options(), "output": output}
        asked |= {"webhooks": tuple(each.receiver() for each in self.webhooks), "request_hash": self.request_hash()}
        asked |= {"gates": self.gates and self.gates.limits()}
        return JobSpec(**asked, tenant=tenant, client_token=client_token)


class JobBody(DraftBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job is asked for with, and what it labels.

    Attributes:
        sources: folders, patterns, manifests, pictures and videos as the server and the workers see them; `{date}` is
            filled.
        include, exclude: patterns of names that are taken of `sources`, and that are not.
        since: only what was changed after it: `24h`, or a date.
        items: single items with their metadata, after those of `sources`.
        limit: items at most.
    """

    sources: Annotated[tuple[Text, ...], Meta(max_length=10_000)] = ()
    include: Annotated[tuple[ShortText, ...], Meta(max_length=100)] = ()
    exclude: Annotated[tuple[ShortText, ...], Meta(max_length=100)] = ()
    since: ShortText | None = None
    items: tuple[ItemBody, ...] = ()
    limit: Positive | None = None


class PartBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More items of a draft; a part with a token that came before adds nothing."""

    items: Annotated[tuple[ItemBody, ...], Meta(min_length=1, max_length=100_000)]
    part_token: Annotated[str, Meta(min_length=1, max_length=200)]


class FileBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is to be sent; what S3 takes in one request has 5 GiB at most."""

    name: Annotated[str, Meta(min_length=1, max_length=1024)]
    size_bytes: Annotated[int, Meta(ge=1, le=5 * 2**30)]
    content_type: Annotated[str, Meta(max_length=100, pattern=r"^[a-z]+/[A-Za-z0-9.+-]+$")] = "application/octet-stream"


class PresignBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files that a client sends to the bucket of uploads himself."""

    files: Annotated[tuple[FileBody, ...], Meta(min_length=1, max_length=1000)]


class ResumeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New limits of a job that goes on; what is absent stays."""

    max_failures: Count | None = None
    max_failure_rate: Share | None = None


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
