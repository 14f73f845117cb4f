"""The one model of a job file. Texts are strict: a number or a boolean in the place of a text is an error."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from jobstore.aftercare import Output, Webhook, WebhookEvent
from jobstore.crontimes import CatchUp, check_cron
from jobstore.errors import InvalidSchedule
from jobstore.schedule_runs import Overlap
from jobstore.schedules import ScheduleSpec
from jobstore.schema import DEFAULT_TENANT
from producer.errors import SourceInvalid
from producer.job_request import JobRequest
from producer.judging.gates.checking import GateLimits
from producer.sources import read_since
from producer.sources.dates import fill_dates
from producer.spans import seconds_of
from videos.options import VideoOptions

#: Words of `limits.priority`; the higher number goes first.
PRIORITIES = {"low": -10, "normal": 0, "high": 10}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _checked_since(text: str) -> str:
    try:
        read_since(text, datetime.now(UTC))
    except SourceInvalid as error:
        raise ValueError(str(error)) from error
    return text


Text = Annotated[str, StringConstraints(min_length=1)]
Texts = Annotated[list[Text], BeforeValidator(_listed, json_schema_input_type=Text | list[Text])]
Span = Annotated[str, StringConstraints(pattern=r"^\d{1,9}[mhd]$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A part of the file: no other key is taken, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ScheduleSection(Section):
    """When the job comes back."""

    cron: Text = Field(description="Minute, hour, day, month and weekday, as in crontab: '30 2 * * MON-FRI'.")
    timezone: Text = Field(default="UTC", description="IANA name, such as Europe/Berlin.")
    catch_up: Literal["none", "last", "all"] = Field(default="last", description="Which of the missed times run late.")
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip", description="A time that comes while the job works."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            check_cron(self.cron, self.timezone)
        except InvalidSchedule as error:
            raise ValueError(str(error)) from error
        return self


class VideoSection(Section):
    """Which frames of videos are labelled."""

    fps: float | None = Field(default=None, gt=0, description="Frames a second at most.")
    every: int | None = Field(default=None, ge=1, description="One frame of so many.")
    keyframes: bool = False
    start_s: float = Field(default=0.0, ge=0)
    end_s: float | None = Field(default=None, gt=0)
    segment_s: float | None = Field(default=None, ge=0.1, description="Cuts videos into items of so many seconds.")
    fail_partial: bool = False
    track: bool = False

    def options(self) -> VideoOptions:
        """Give them as the sources take them."""
        return VideoOptions(**self.model_dump())

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.options()
        return self


class SourceSection(Section):
    """What is labelled."""

    uri: Texts = Field(min_length=1, description="Folders, patterns, manifests, s3://bucket/prefix; {date} is filled.")
    include: Texts = Field(default_factory=list, description="Patterns of names that are taken.")
    exclude: Texts = Field(default_factory=list, description="Patterns of names that are not.")
    since: Annotated[str, AfterValidator(_checked_since)] | None = Field(
        default=None, description="Only what was changed since: 24h, or a date."
    )
    limit: int | None = Field(default=None, ge=1, description="Items at most.")
    video: VideoSection = VideoSection()
    skip_done: bool | None = Field(
        default=None, description="Another word for `use_cache`: what is labelled already is not run again."
    )


class ModelSection(Section):
    """What labels it, and how."""

    id: Text = Field(description="A model id, a package folder (./...) or an .onnx file.")
    package: Text | None = None
    backend: Texts = Field(default_factory=list, description="trt, torch, hf, openvino, onnx; best first. auto: any.")
    backend_order: Texts = Field(default_factory=list)
    quantization: Texts = Field(default_factory=list)
    execution_providers: Texts = Field(default_factory=list)
    strategy: Literal["order", "measured"] | None = None
    measuring_budget_s: float | None = Field(default=None, gt=0)
    nms_fusion: bool | None = None
    batch: int | Literal["auto"] = "auto"
    confidence: Share | None = None
    iou_threshold: Share | None = None
    classes: Texts = Field(default_factory=list)
    max_detections: int | None = Field(default=None, ge=1)
    prompt: Text | None = Field(default=None, description="What a model that writes is asked, of each picture.")
    params: dict[str, Any] = Field(default_factory=dict, description="Further parameters of the model's task.")

    def wishes(self) -> dict[str, Any]:
        """Give what the negotiation should heed."""
        named = {"batch_size": None if self.batch == "auto" else self.batch, "package_id": self.package}
        names = ("backend_order", "quantization", "execution_providers", "strategy", "measuring_budget_s", "nms_fusion")
        backend = () if self.backend == ["auto"] else tuple(self.backend)
        return _given({**{name: getattr(self, name) for name in names}, **named, "backend": backend})

    def parameters(self) -> dict[str, Any]:
        """Give what the model's task takes."""
        names = ("confidence", "iou_threshold", "classes", "max_detections", "prompt")
        return {**self.params, **_given({name: getattr(self, name) for name in names})}


class LimitsSection(Section):
    """What the job may cost."""

    max_failure_rate: Share = 0.02
    max_failures: Count | None = None
    canary: Count | None = Field(default=None, description="Items that are tried before the rest; 0: none.")
    timeout: Span | None = Field(default=None, description="What is not labelled then is given up: 5h.")
    deadline: Span | None = Field(default=None, description="Due then; of equal jobs the earlier goes first.")
    priority: int | Literal["low", "normal", "high"] = "normal"
    shard_size: int | None = Field(default=None, ge=1)


class OutputSection(Section):
    """What is exported when the job ends."""

    uri: Text = Field(description="A folder or s3://bucket/prefix; {date} is filled.")
    formats: Texts = Field(default_factory=list, description="Export formats; without: coco and jsonl where they fit.")
    min_confidence: Share = 0.0
    classes: Texts = Field(default_factory=list)
    save_conf: bool = False
    with_images: bool = False
    previews: int | None = Field(
        default=None, ge=1, description="Pictures at most of a page to look at; it is written beside the formats."
    )

    @field_validator("uri")
    @classmethod
    def _check_uri(cls, uri: str) -> str:
        if "://" in uri and "@" in uri.partition("://")[2].partition("/")[0]:
            raise ValueError("a bucket's address holds no key and no password: they would be stored; see AWS_PROFILE")
        return uri

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, names: list[str]) -> list[str]:
        from producer.exports.registry import known_formats

        if unknown := [name for name in names if name not in known_formats()]:
            raise ValueError(
                f"no export format is called {unknown[0]!r}; expected some of {', '.join(known_formats())}"
            )
        return names

    def options(self) -> dict[str, Any]:
        """Give the options that differ from the defaults."""
        return self.model_dump(exclude={"uri", "formats"}, exclude_defaults=True)


_USUAL_LIMITS = GateLimits()
Rise = Annotated[float | None, Field(ge=0, le=1)]


class GatesSection(Section):
    """How far a run may lie from the good runs before it; `gates: {}` takes the usual limits, null lets all pass."""

    empty_rate_rise: Rise = Field(default=_USUAL_LIMITS.empty_rate_rise, description="Of pictures without any object.")
    objects_change: float | None = Field(
        default=_USUAL_LIMITS.objects_change, ge=0, description="Share, up or down, of the objects a picture."
    )
    class_distance: Rise = Field(default=_USUAL_LIMITS.class_distance, description="Jensen-Shannon, 0 to 1.")
    failed_rate_rise: Rise = Field(default=_USUAL_LIMITS.failed_rate_rise, description="Of pictures that failed.")
    speed_share: Rise = Field(default=_USUAL_LIMITS.speed_share, description="Of the usual images a second, at least.")
    min_images: int = Field(default=_USUAL_LIMITS.min_images, ge=1, description="A run of fewer is not judged.")


_SHORT_EVENTS = {event.rpartition(".")[2]: event for event in WebhookEvent if event is not WebhookEvent.TEST}


class NotifySection(Section):
    """Who is told of what."""

    webhook: Text = Field(
        pattern=r"^https?://[^@/?#]+([/?#]|$)", description="Address that messages are sent to; without a password."
    )
    secret_env: Text | None = Field(
        default=None, description="Variable of the workers' environment with the signing secret."
    )
    on: list[
        Literal["started", "finished", "failed", "over_failure_rate", "needs_attention", "gates_failed", "missed"]
    ] = Field(default=["finished", "failed", "needs_attention", "gates_failed", "missed"])

    def receiver(self) -> Webhook:
        """Give it as the store keeps it."""
        return Webhook(self.webhook, self.secret_env, tuple(_SHORT_EVENTS[name] for name in self.on))


def _source(value: Any) -> Any:
    return {"uri": value} if isinstance(value, str | list) else value


def _model(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class JobFile(Section):
    """A job, and when it comes back."""

    name: Text | None = Field(default=None, description="Shown to people; a schedule is found by it.")
    schedule: ScheduleSection | None = None
    source: Annotated[SourceSection, BeforeValidator(_source, json_schema_input_type=Text | Texts | SourceSection)]
    model: Annotated[ModelSection, BeforeValidator(_model, json_schema_input_type=Text | ModelSection)]
    hardware: Texts = Field(default_factory=lambda: ["auto"], description="Classes that may run it, best first.")
    limits: LimitsSection = LimitsSection()
    output: OutputSection | None = None
    gates: GatesSection | None = Field(default=None, description="Hold it against the good runs before it.")
    notify: list[NotifySection] = Field(default_factory=list)
    tags: dict[str, str] = Field(default_factory=dict)
    use_cache: bool | None = Field(
        default=None, description="Whether results of earlier runs are taken over where nothing has changed; true."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.use_cache is not None and self.source.skip_done not in (None, self.use_cache):
            raise ValueError("use_cache and source.skip_done contradict each other; they mean the same, so keep one")
        return self

    def resolved(self, folder: Path) -> JobFile:
        """Make paths absolute, from the file's folder, since others read them elsewhere."""
        source = self.source.model_copy(update={"uri": [_absolute(uri, folder) for uri in self.source.uri]})
        changes: dict[str, Any] = {"source": source}
        if self.model.id.startswith((".", "~")) or self.model.id.endswith(".onnx"):
            changes["model"] = self.model.model_copy(update={"id": _absolute(self.model.id, folder)})
        if self.output is not None:
            changes["output"] = self.output.model_copy(update={"uri": _absolute(self.output.uri, folder)})
        return self.model_copy(update=changes)

    def request(self, moment: datetime) -> JobRequest:
        """Give what is asked for.

        Args:
            moment: what spans and dates are counted from, with its time zone.
        """
        limits = self.limits
        now = moment.timestamp()
        return JobRequest(
            sources=tuple(self.source.uri),
            model=self.model.id,
            params=self.model.parameters(),
            wishes=self.model.wishes(),
            hardware=tuple(self.hardware),
            limit=self.source.limit,
            video=self.source.video.options(),
            include=tuple(self.source.include),
            exclude=tuple(self.source.exclude),
            since=self.source.since,
            moment=moment,
            webhooks=self.receivers(),
            output=self._output(moment),
            gates=None if self.gates is None else self.gates.model_dump(exclude_defaults=True),
            rest={
                "name": self.name or "",
                "tags": self.tags,
                "priority": PRIORITIES[limits.priority] if isinstance(limits.priority, str) else limits.priority,
                "max_failure_rate": limits.max_failure_rate,
                "max_failures": limits.max_failures,
                "canary_items": limits.canary,
                "shard_size": limits.shard_size,
                "use_cache": self.use_cache is not False and self.source.skip_done is not False,
                "deadline": _later(now, limits.deadline),
                "expires": _later(now, limits.timeout),
            },
        )

    def receivers(self) -> tuple[Webhook, ...]:
        """Give who is told."""
        return tuple(each.receiver() for each in self.notify)

    def schedule_spec(self, tenant: str = DEFAULT_TENANT) -> ScheduleSpec:
        """Give the schedule that the file asks for.

        Raises:
            InvalidSchedule: it asks for none.
        """
        if self.schedule is None or self.name is None:
            missing = "schedule" if self.schedule is None else "name"
            raise InvalidSchedule(f"{missing!r} is missing: a schedule needs a name, and `schedule: {{cron: ...}}`")
        return ScheduleSpec(
            name=self.name,
            job=self.model_dump(mode="json", exclude_defaults=True),
            cron=self.schedule.cron,
            timezone=self.schedule.timezone,
            catch_up=CatchUp(self.schedule.catch_up),
            overlap=Overlap(self.schedule.overlap),
            tenant=tenant,
            webhooks=self.receivers(),
        )

    def _output(self, moment: datetime) -> Output | None:
        wanted = self.output
        if wanted is None:
            return None
        return Output(fill_dates(wanted.uri, moment), tuple(wanted.formats), wanted.options())


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Only what was said: False is, None and an empty list are not."""
    return {name: value for name, value in values.items() if value is not None and value not in ([], ())}


def _absolute(text: str, folder: Path) -> str:
    """An absolute path; a URI as it is."""
    return text if "://" in text else os.path.join(folder, os.path.expanduser(text))  # noqa: PTH111, PTH118 - a pattern


def _later(now: float, span: str | None) -> float | None:
    seconds = None if span is None else seconds_of(span)
    return None if seconds is None else now + seconds
