"""What `Producer.submit` is asked for, checked on this machine before anything is sent."""

from __future__ import annotations

import difflib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from fetching.policy import has_scheme
from jobstore.errors import InvalidJob
from jobstore.schema import ItemRef, JobSpec
from producer.afterwards import gates_of, output_of, webhooks_of
from producer.sources import Source, SourceOptions, SourceReport, expand, read_since
from producer.sources.checking import check_uri
from videos.options import VideoOptions

if TYPE_CHECKING:
    from fetching.policy import FetchPolicy
    from jobstore.aftercare import Output, Webhook
    from jobstore.schema import WorkerRow
    from producer.judging.gates import GateLimits

#: Where no worker is known: any GPU, else the CPU; the relay moves the work to the class that somebody serves.
ANYWHERE = ("gpu-any", "cpu")
AUTO = ("auto",)


class JobOptions(TypedDict, total=False):
    """Everything about a job beside its model and sources; what is not given is left to the model and the store.

    Attributes:
        task: what the model must do, such as `object-detection`, or its end, `detection`; checked before the job is
            accepted where this machine or the server has the engine.
        hardware: classes, best first, as a list or joined by commas; `auto`: the best
            that a worker alive has, or where none is known any.
        params: what the model's task takes, such as `{"confidence": 0.4}`; judged by the worker's model.
        wishes: what chooses the backend; names and forms in `jobstore.wishes`.
        video: fields of `videos.options.VideoOptions`, such as `{"fps": 2}`.
        tags: texts that are kept with the job.
        idempotency_key: a second submit with the same key gives the first job; None: one is made for this call.
        max_failure_rate: share of failed items, 0 to 1, above which the job counts as failed.
        max_failures: failed items above which the job stops.
        canary_items: first items that run alone.
        name: shown to people.
        priority: higher goes first.
        deadline: when it should be done: a `datetime`, or seconds since the epoch.
        expires: when what is left is given up; likewise.
        shard_size: items a shard.
        use_cache: whether predictions of earlier runs with the same bytes, package and parameters are taken over.
        webhook: URL that is told when the job ended or needs attention.
        webhooks: receivers in full, each with the fields of `jobstore.aftercare.Webhook`.
        output: what is exported when the job ends: `dest` (a folder, or `s3://bucket/prefix`; without one a server
            keeps the files for download), `formats`, and fields of `producer.exports.ExportOptions`.
        gates: limits that the job is judged by when it ends, against the good runs of its name before it: fields of
            `producer.judging.gates.GateLimits`, `{}` for the usual ones; None: it is not judged.
        include, exclude: patterns of names that are taken of folders, patterns and prefixes, and that are not.
        since: only what was changed after it: `24h`, or a date.
        limit: items at most.
    """

    task: str
    hardware: str | Sequence[str]
    params: Mapping[str, Any]
    wishes: Mapping[str, Any]
    video: Mapping[str, Any] | VideoOptions
    tags: Mapping[str, str]
    idempotency_key: str | None
    max_failure_rate: float
    max_failures: int | None
    canary_items: int | None
    name: str
    priority: int
    deadline: datetime | float | None
    expires: datetime | float | None
    shard_size: int | None
    use_cache: bool
    webhook: str | None
    webhooks: Sequence[Webhook | Mapping[str, Any]]
    output: Output | Mapping[str, Any] | None
    gates: GateLimits | Mapping[str, Any] | None
    include: Sequence[str]
    exclude: Sequence[str]
    since: str | None
    limit: int | None


#: Options that are fields of `JobSpec` as they are.
_PLAIN = (
    "name",
    "tags",
    "params",
    "wishes",
    "priority",
    "max_failure_rate",
    "max_failures",
    "canary_items",
    "shard_size",
    "use_cache",
)


def spec_of(model: str | os.PathLike[str], options: JobOptions) -> JobSpec:
    """Give the job that is asked for.

    Raises:
        InvalidJob: an option that is none, or whose value cannot be; every fault that can be seen here is named.
    """
    from jobstore.submit import check_spec  # costs the import of SQLAlchemy

    if unknown := [name for name in options if name not in JobOptions.__annotations__]:
        near = difflib.get_close_matches(unknown[0], JobOptions.__annotations__, n=1)
        raise InvalidJob(f"submit knows no option {unknown[0]!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    fields: dict[str, Any] = {name: options[name] for name in _PLAIN if name in options}  # type: ignore[literal-required]
    for name in ("params", "wishes", "tags"):
        _check_json(name, fields.get(name, {}))
    spec = JobSpec(
        model=model_reference(model),
        hardware=_words(options.get("hardware", AUTO)),
        video=video_of(options),
        client_token=options.get("idempotency_key") or uuid.uuid4().hex,
        deadline=_moment(options.get("deadline")),
        expires=_moment(options.get("expires")),
        webhooks=webhooks_of(options),
        output=output_of(options),
        gates=gates_of(options),
        **fields,
    )
    check_spec(spec)
    return spec


def items_of(
    sources: Source | ItemRef | Iterable[Source | ItemRef], options: JobOptions, report: SourceReport
) -> Iterator[ItemRef]:
    """Give the items of sources in order, the first found already, so that a wrong source is known at once.

    Args:
        sources: paths, patterns, manifests and URIs, one or many, or items; an iterator of a million items stays one.

    Raises:
        SourceInvalid: there is no such source, nothing in it, or an item that this machine's settings do not let
            be read (docs/sources.md); whoever reads it asks his own.
        SettingInvalid: those settings cannot be.
    """
    from producer.fetch_settings import find_policy  # costs the import of pydantic

    moment = datetime.now().astimezone()
    since = options.get("since")
    source_options = SourceOptions(
        limit=options.get("limit"),
        video=video_of(options) or VideoOptions(),
        policy=find_policy(),
        include=tuple(options.get("include", ())),
        exclude=tuple(options.get("exclude", ())),
        since=None if since is None else read_since(since, moment),
        moment=moment,
    )
    items = _items(sources, source_options, report)
    return chain(list(islice(items, 1)), items)


def _items(sources: Any, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    if isinstance(sources, ItemRef):
        sources = [sources]
    if isinstance(sources, str | os.PathLike):
        return expand(sources, options, report)
    given = iter(sources)
    first = list(islice(given, 1))
    if first and isinstance(first[0], ItemRef):
        return islice(checked_items(chain(first, given), options.policy), options.limit)
    return expand([*first, *given], options, report)


def checked_items(items: Iterable[Any], policy: FetchPolicy) -> Iterator[ItemRef]:
    """Give items as they are, but for relative paths, which are made absolute, since workers run elsewhere.

    Raises:
        InvalidJob: something that is no item.
        SourceInvalid: an item that may not be read, as of a source.
    """
    for number, item in enumerate(items):
        if not isinstance(item, ItemRef):
            raise InvalidJob(f"item {number} is {item!r}; the ones before it are ItemRef, expected no other kind")
        check_uri(item.uri, policy)
        is_whole = has_scheme(item.uri) or os.path.isabs(item.uri)  # noqa: PTH117 (of each item)
        yield item if is_whole else replace(item, uri=os.path.abspath(item.uri))  # noqa: PTH100


def video_of(options: JobOptions) -> VideoOptions | None:
    """Give which frames of videos are wanted; None: each one.

    Raises:
        InvalidJob: an option that is none, or whose value cannot be.
    """
    video = options.get("video")
    if video is None or isinstance(video, VideoOptions):
        return video
    try:
        return VideoOptions(**video)
    except (TypeError, ValueError) as error:
        known = ", ".join(VideoOptions.__dataclass_fields__)
        raise InvalidJob(f"video {dict(video)!r}: {error}; expected some of {known}") from error


def classes_of(wanted: Sequence[str], workers: Iterable[WorkerRow]) -> tuple[str, ...]:
    """Give the hardware classes of a job: those asked for, or for `auto` the best that a worker alive has."""
    if tuple(wanted) != AUTO:
        return tuple(wanted)
    served = {worker.hardware for worker in workers if worker.state == "running"}
    return (max(served),) if served else ANYWHERE  # "gpu-..." sorts after "cpu"


def model_reference(model: str | os.PathLike[str]) -> str:
    """Make a path absolute, since workers run elsewhere; leave an id as it is.

    A path is what begins with `.`, `/` or `~`, what ends with `.onnx`, and every `Path`.
    """
    text = os.fspath(model)
    is_path = not isinstance(model, str) or text.startswith((".", "/", "~")) or text.endswith(".onnx")
    return str(Path(text).expanduser().absolute()) if is_path else text


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    words = given.split(",") if isinstance(given, str) else given
    return tuple(word.strip() for word in words if word.strip())


def _moment(moment: datetime | float | None) -> float | None:
    return moment.timestamp() if isinstance(moment, datetime) else moment


def _check_json(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise InvalidJob(f"{name} is {value!r}; expected a mapping, such as a dict")
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidJob(f"{name} {value!r}: {error}; expected what JSON can hold") from error
