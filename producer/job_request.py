"""A job as it was asked for, on the command line or in a job file: one way from there to what is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from jobstore.aftercare import Output, Webhook
from jobstore.schema import JobSpec
from producer.sources import SourceOptions, read_since
from videos.options import VideoOptions


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What somebody asks for.

    Attributes:
        hardware: classes, best first; `auto` leaves the choice to where it is submitted.
        since: only what was changed after this: `24h`, counted back from the moment, or a date.
        moment: what `{date}` means, with its time zone.
        rest: further fields of `JobSpec`, by name.
    """

    sources: tuple[str, ...]
    model: str
    params: Mapping[str, Any]
    wishes: Mapping[str, Any]
    hardware: tuple[str, ...]
    limit: int | None
    video: VideoOptions
    rest: Mapping[str, Any]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: str | None = None
    moment: datetime = field(default_factory=lambda: datetime.now().astimezone())
    webhooks: tuple[Webhook, ...] = ()
    output: Output | None = None
    gates: Mapping[str, Any] | None = None

    def spec(self, hardware: tuple[str, ...], **more: Any) -> JobSpec:
        """Give what the producer takes.

        Args:
            hardware: the classes, with `auto` resolved.
            more: fields of `JobSpec` that only the submitter knows, such as the tenant.
        """
        return JobSpec(
            model=self.model,
            params=self.params,
            wishes=self.wishes,
            hardware=hardware,
            video=self.video,
            webhooks=self.webhooks,
            output=self.output,
            gates=self.gates,
            **{**self.rest, **more},
        )

    def source_options(self, base: SourceOptions) -> SourceOptions:
        """Give how its sources are read, within the rules of `base`.

        Raises:
            SourceInvalid: `since` is no time.
        """
        return replace(
            base,
            limit=self.limit,
            video=self.video,
            include=self.include,
            exclude=self.exclude,
            since=None if self.since is None else read_since(self.since, self.moment),
            moment=self.moment,
        )
