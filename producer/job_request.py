"""A job as it was asked for, on the command line or in a job file: one way from there to what is submitted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from jobstore.aftercare import Output, Webhook
from jobstore.encoding import to_sorted_json
from jobstore.schema import JobSpec
from producer.sources import SourceOptions, read_since
from videos.options import VideoOptions

#: What differs between two requests for the same job.
_OF_THE_MOMENT = frozenset({"moment", "deadline", "expires", "output"})


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

    def fingerprint(self) -> str:
        """Give what two requests for the same job have in common, whenever and from whatever folder they are made."""
        asked = {name: value for name, value in asdict(self).items() if name not in _OF_THE_MOMENT}
        asked["rest"] = {name: value for name, value in self.rest.items() if name not in _OF_THE_MOMENT}
        asked["sources"] = [uri if "://" in uri else os.path.abspath(uri) for uri in self.sources]  # noqa: PTH100
        return hashlib.sha256(to_sorted_json(asked).encode()).hexdigest()

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
