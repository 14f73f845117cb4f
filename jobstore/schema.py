"""The words that producer, store and workers share. Pure data: no SQL, no broker, no model.

Times are seconds since the epoch by the database's clock; ids are UUIDv7 texts, so that they sort by birth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

from jobstore.aftercare import Output, Webhook
from videos.options import Clip, VideoOptions

JobId = NewType("JobId", str)
ShardId = NewType("ShardId", str)
WorkerId = NewType("WorkerId", str)
DecisionId = NewType("DecisionId", str)

#: The tenant of everything that is submitted without a token.
DEFAULT_TENANT = "default"


class JobState(StrEnum):
    """Where a job stands; `ENDED_STATES` are those that it never leaves, `RUNNABLE_STATES` those in which it works."""

    DRAFT = "draft"  # more items are to come; nothing runs before it is sealed
    CANARY = "canary"  # its first items run alone, to see what the rest would cost
    RUNNING = "running"  # shards are waiting or worked on
    COMPLETED = "completed"  # every item is ok or cached
    COMPLETED_WITH_ERRORS = "completed_with_errors"  # every item has its outcome, some failed
    FAILED = "failed"  # it could not go on (no runnable backend ...); what was left is skipped
    CANCELLED = "cancelled"  # somebody ended it; what was left is skipped
    PAUSED = "paused"  # somebody stopped it; nothing is released until it is resumed
    NEEDS_ATTENTION = "needs_attention"  # its canary or its failures stopped it; resume or cancel
    EXPIRED = "expired"  # its time was over; what was left is skipped


RUNNABLE_STATES = frozenset({JobState.CANARY, JobState.RUNNING})
STOPPED_STATES = frozenset({JobState.PAUSED, JobState.NEEDS_ATTENTION})
ENDED_STATES = frozenset(
    {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
)


#: Nothing happens any more unless somebody acts; where those who wait for a job stop waiting.
SETTLED_STATES = ENDED_STATES | {JobState.NEEDS_ATTENTION}


class ShardState(StrEnum):
    """(held ->) pending -> queued -> leased -> done | (lease lost: pending, attempt + 1) | cancelled."""

    HELD = "held"  # its job is stopped, tries its first items alone, or waits for its model; no queue knows of it
    PENDING = "pending"  # waits for room in its queue's window
    QUEUED = "queued"  # its hint was sent to Redis
    LEASED = "leased"  # one worker owns it until `lease_until`
    DONE = "done"  # every item of it has an outcome
    CANCELLED = "cancelled"  # its job ended first


OPEN_SHARDS = (ShardState.HELD, ShardState.PENDING, ShardState.QUEUED, ShardState.LEASED)
#: Due for a worker: in a queue's window, or behind it.
WAITING_SHARDS = (ShardState.PENDING, ShardState.QUEUED)


class OutcomeState(StrEnum):
    """How one item ended. Each item has exactly one outcome."""

    OK = "ok"  # a prediction record
    CACHED = "cached"  # a record taken over from an earlier run
    FAILED = "failed"  # a typed error
    SKIPPED = "skipped"  # never tried: its job was cancelled or failed


@dataclass(frozen=True, slots=True)
class ItemRef:
    """One thing to label, as a source yields it.

    Attributes:
        uri: an absolute path or a URI; what workers read and what exports name.
        metadata: extra columns of a manifest; kept and exported, never interpreted.
        clip: the part of a video; None: a picture.
    """

    uri: str
    metadata: Mapping[str, Any] | None = None
    clip: Clip | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to label, as a worker receives it.

    Attributes:
        clip: the part of a video; None: a picture.
        frames: of a video that an earlier attempt began, the frames that have an outcome.
    """

    idx: int
    uri: str
    clip: Clip | None = None
    frames: Mapping[int, OutcomeState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a producer asks for.

    Attributes:
        model: a model id, or the absolute path of a package folder or weights file.
        name: shown to people; empty means the model and the first source.
        params: what the model's task takes, for example `{"confidence": 0.4}`; checked by the worker's model.
        wishes: what the negotiation should heed: names and forms in `jobstore.wishes`; trust is none of them.
        hardware: classes that may run it, best first; each names a queue. `gpu-any` is a class, which every GPU serves.
        priority: higher goes first.
        max_failure_rate: share of failed items, 0 to 1, above which the job's end counts as over its limit.
        max_failures: failed items above which the job stops and needs attention; None: only the rate counts. The rate
            stops only a job with a canary, as soon as it cannot end within it.
        canary_items: first items that run alone; None: 64 of a job of 512 and more, 0: none.
        deadline: when it should be done, seconds since the epoch; of equal jobs the earlier goes first.
        expires: when what is left is given up, seconds since the epoch.
        shard_size: items a shard; None: from the number of items.
        client_token: a second submit with the same token (and tenant) returns the first job.
        video: which frames of videos are labelled; None: each one.
        schedule_id: the schedule that asks; None: a person or program does.
        webhooks: who is told of what.
        output: what is exported when it ends; None: nothing is, by itself.
        gates: limits that the job is judged by when it ends, against the good runs before it (their names and meaning
            are the judge's, `producer.judging.gates.GateLimits`); None: it is not judged.
        use_cache: predictions are taken over from earlier runs with the same bytes, package and parameters.
        request_hash: what tells this request from another with the same client token; None: made from these fields, but
            for the times.
    """

    model: str
    name: str = ""
    tenant: str = DEFAULT_TENANT
    params: Mapping[str, Any] = field(default_factory=dict)
    wishes: Mapping[str, Any] = field(default_factory=dict)
    hardware: tuple[str, ...] = ("cpu",)
    priority: int = 0
    max_failure_rate: float = 0.02
    max_failures: int | None = None
    canary_items: int | None = None
    deadline: float | None = None
    expires: float | None = None
    shard_size: int | None = None
    client_token: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    video: VideoOptions | None = None
    schedule_id: str | None = None
    webhooks: tuple[Webhook, ...] = ()
    output: Output | None = None
    gates: Mapping[str, Any] | None = None
    use_cache: bool = True
    request_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """One entry of a Redis queue: while this shard waits, take one of its queue. Lost it delays, doubled it is void."""

    queue: str
    shard_id: ShardId
    attempt: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard that this worker, and no other, may work on until it ends or the lease does.

    Attributes:
        attempt: the fencing token; a write with an older one changes no row.
        items: those of the shard that have no outcome yet, by idx.
        total: items of the whole shard, with those that already have one.
        hardware: class of the queue that it came from; what `refuse_class` takes.
        deaths: workers that were lost while they worked on it.
        video: which frames of its videos are wanted.
        use_cache: predictions of earlier runs may be taken over.
    """

    shard_id: ShardId
    job_id: JobId
    tenant: str
    attempt: int
    owner: WorkerId
    model: str
    params: Mapping[str, Any]
    wishes: Mapping[str, Any]
    items: tuple[Item, ...]
    total: int
    hardware: str
    queue: str
    deaths: int = 0
    video: VideoOptions = field(default_factory=VideoOptions)
    use_cache: bool = True


@dataclass(frozen=True, slots=True)
class OpeningTrouble:
    """Why a model does not open at this moment, though it may later.

    Attributes:
        asked_s: seconds that its provider asked to wait.
    """

    code: str
    message: str
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a worker that renews its leases.

    Attributes:
        kept: shards that are still its own; a shard that is missing is somebody else's, or its job ended.
        give_back: those of `kept` whose job was stopped, or that work of a higher priority waits for: finish what is in
            flight, flush it, release the shard.
    """

    kept: frozenset[ShardId] = frozenset()
    give_back: frozenset[ShardId] = frozenset()


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item failed: a code of the closed list in `docs/errors.md`, and words for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item's end: a record or an error, never both.

    Attributes:
        frame: 0 for a picture, and for what is said of a video as a whole; a video's frames count from 1.
        record: the prediction as its task's `to_record` gives it.
        blob: arrays that do not belong into JSON, encoded by the task.
        timings_ms: milliseconds by stage: fetch, decode, preprocess, forward (wait included), postprocess.
        tries: how often it was run; workers that died over it are not counted here.
        timestamp_s: of a video's frame, seconds after the video's first.
        content: sha256 of the picture's bytes, in hexadecimal digits; None: they were not read, or are a video's.
        result_key: what later runs may take the record over by; None: they may not.
    """

    idx: int
    state: OutcomeState
    frame: int = 0
    record: Mapping[str, Any] | None = None
    blob: bytes | None = None
    error: ItemError | None = None
    timings_ms: Mapping[str, float] | None = None
    tries: int = 1
    timestamp_s: float | None = None
    content: str | None = None
    result_key: str | None = None


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """The last outcomes of a shard, with which every item of it has one."""

    lease: Lease
    outcomes: tuple[Outcome, ...]
    decision_id: DecisionId | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Why a backend ran: one row for each job and worker process.

    Attributes:
        candidates: every package x backend x precision, with all reasons against it and its measurements.
        versions: of nightshift, Python and each runtime.
        machine: what the worker's machine reported.
    """

    job_id: JobId
    worker_id: WorkerId
    model_id: str
    package_id: str
    package_digest: str
    backend: str
    device: str
    quantization: str
    max_batch_size: int
    strategy: str
    task: str
    class_names: tuple[str, ...]
    candidates: tuple[Mapping[str, Any], ...]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    load_ms: float
    created: float | None = None
    decision_id: DecisionId | None = None


@dataclass(frozen=True, slots=True)
class ModelBuild:
    """What a batch size is learned for: a package's digest, and the backend and precision that run it."""

    digest: str
    backend: str
    quantization: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker process, as it reports itself.

    Attributes:
        serves: hardware classes whose queues it consumes, its own first.
        active: shards in work.
        memory_bytes: resident memory of the process.
        stats: by model, how full batches are and where its time goes.
        drain: somebody asked it to finish what it has and to leave.
    """

    worker_id: WorkerId
    host: str
    pid: int
    hardware: str
    device: str
    state: str = "running"
    queues: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    items_per_second: float = 0.0
    started: float | None = None
    heartbeat: float | None = None
    age_s: float | None = None
    serves: tuple[str, ...] = ()
    active: int = 0
    memory_bytes: int | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)
    drain: bool = False


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """An entry of a queue that no worker can read; nothing depends on it, the shards are in SQL.

    Attributes:
        reason: a code.
        message: its words.
        body: the entry's first bytes, printable.
        size_bytes: of the whole entry.
    """

    queue: str
    reason: str
    message: str
    body: str
    size_bytes: int
    worker_id: WorkerId
    created: float | None = None
