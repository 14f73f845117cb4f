"""What is read about jobs, results, queues and hardware classes. Pure data, as in `jobstore.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobstore.schema import (
    ENDED_STATES,
    SETTLED_STATES,
    DecisionId,
    ItemError,
    JobId,
    JobState,
    OutcomeState,
    WorkerId,
)
from videos.options import Clip


class GateState(StrEnum):
    """pending -> passed | failed | broken; a person makes `accepted` of a failed one."""

    PENDING = "pending"  # the job has ended, and nobody has judged it yet
    PASSED = "passed"  # like the good runs before it, or nothing was there to hold it against
    FAILED = "failed"  # not like them; later runs are not held against it
    ACCEPTED = "accepted"  # not like them, and somebody says that this is how it shall be from now on
    BROKEN = "broken"  # it could not be judged; the verdict's message says why


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job and its counters. `total == ok + cached + failed + skipped + pending`, always.

    Attributes:
        reason: a code, where the job failed, was cancelled or was stopped.
        message: the reason's words, and for a stopped job how to go on.
        frames: of videos, that have an outcome; a video is one item of `total`, or one for each of its parts.
        gates: what its gates said at its end; None: it has none, or has not ended.
        video: which frames of videos are labelled, by the fields of `videos.options.VideoOptions`; None: each one.
    """

    job_id: JobId
    tenant: str
    name: str
    model: str
    task: str | None
    state: JobState
    reason: str | None
    message: str | None
    total: int
    ok: int
    cached: int
    failed: int
    skipped: int
    objects: int
    priority: int
    max_failure_rate: float
    hardware: tuple[str, ...]
    params: Mapping[str, Any]
    wishes: Mapping[str, Any]
    tags: Mapping[str, str]
    class_names: tuple[str, ...] | None
    model_digest: str | None
    created: float
    started: float | None
    finished: float | None
    now: float
    max_failures: int | None = None
    canary_items: int = 0
    deadline: float | None = None
    expires: float | None = None
    frames: int = 0
    gates: GateState | None = None
    video: Mapping[str, Any] | None = None

    @property
    def done(self) -> int:
        """Items that have an outcome."""
        return self.ok + self.cached + self.failed + self.skipped

    @property
    def pending(self) -> int:
        """Items that have none yet."""
        return self.total - self.done

    @property
    def is_ended(self) -> bool:
        """Whether the job never changes again by itself."""
        return self.state in ENDED_STATES

    @property
    def is_settled(self) -> bool:
        """Whether the job ended, or waits for somebody's decision."""
        return self.state in SETTLED_STATES

    @property
    def elapsed_s(self) -> float:
        """Seconds that the job has worked, from its first shard's lease on."""
        begun = self.started if self.started is not None else self.created
        return max(0.0, (self.finished if self.finished is not None else self.now) - begun)

    @property
    def items_per_second(self) -> float | None:
        """Its mean speed; None: it has not begun."""
        return self.done / self.elapsed_s if self.started is not None and self.elapsed_s > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds that what is left takes at the mean speed; None: unknown, or the job has ended."""
        rate = self.items_per_second
        return self.pending / rate if rate and not self.is_ended else None

    @property
    def is_over_failure_limit(self) -> bool:
        """More items failed than `max_failures` or `max_failure_rate` allows."""
        is_over_number = self.max_failures is not None and self.failed > self.max_failures
        return is_over_number or self.failed > self.max_failure_rate * self.total


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One outcome joined with its item and the decision that produced it; what exports read.

    Attributes:
        content: sha256 of the item's bytes, in hexadecimal digits, where the worker hashed them.
    """

    idx: int
    frame: int
    uri: str
    metadata: Mapping[str, Any] | None
    state: OutcomeState
    record: Mapping[str, Any] | None
    blob: bytes | None
    error: ItemError | None
    timings_ms: Mapping[str, float] | None
    decision_id: DecisionId | None
    attempt: int
    timestamp_s: float | None = None
    clip: Clip | None = None
    content: str | None = None

    @property
    def holds_prediction(self) -> bool:
        """Whether there is a picture's or frame's record; what is said of a video as a whole is none."""
        is_labelled = self.state in (OutcomeState.OK, OutcomeState.CACHED)
        return is_labelled and (self.clip is None or self.frame > 0)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item and how it ended; what people look through.

    Attributes:
        state: None: it has no outcome yet.
        objects: in its record; 0 for what has no boxes.
        tries: how often it was run; 0: never.
        content: sha256 of its bytes, in hexadecimal digits, where it was read.
    """

    idx: int
    uri: str
    metadata: Mapping[str, Any] | None
    clip: Clip | None
    state: OutcomeState | None
    error: ItemError | None
    objects: int
    tries: int
    timings_ms: Mapping[str, float] | None
    content: str | None
    decision_id: DecisionId | None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed items of one cause."""

    code: str
    count: int
    examples: tuple[str, ...]  # up to three URIs
    message: str  # of the first example
    indices: tuple[int, ...] = ()  # of the examples


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that happened to a job.

    Attributes:
        kind: submitted, started, canary_done, paused, resumed, needs_attention, reprioritised, class_refused, rerouted,
            opening_postponed, opening_lost, straggler_offered, worker_lost, shard_split, completed,
            completed_with_errors, failed, cancelled, expired.
        created: seconds since the epoch by the database's clock.
        event_id: what `JobStore.events` goes on after.
    """

    job_id: JobId
    kind: str
    created: float
    details: Mapping[str, Any]
    event_id: str = ""


class Waiting(StrEnum):
    """Why shards of a queue wait."""

    WINDOW_FULL = "window_full"  # others of the queue are worked on; these follow
    NO_WORKER = "no_worker"  # no live worker serves the queue's hardware class
    BUSY = "busy"  # the workers of the class work on other queues
    BROKER = "broker"  # idle workers, and no hint reaches them: Redis is away, or no relay runs
    TAKEN_SOON = "taken_soon"  # they are only just due
    MODEL_AWAY = "model_away"  # their model cannot be fetched at the moment; the next try is due by itself
    CANARY = "canary"  # their jobs try their first items elsewhere or at this moment
    PAUSED = "paused"  # somebody paused their jobs
    NEEDS_ATTENTION = "needs_attention"  # their jobs stopped themselves, by a canary or by failures


@dataclass(frozen=True, slots=True)
class QueueRow:
    """What waits and what runs in one queue.

    Attributes:
        queue: its name.
        hardware: the class of workers that it is for.
        pending: shards behind the window.
        queued: shards whose hints were sent.
        leased: shards that are worked on.
        held: shards of jobs that are stopped, try their first items, or wait for a model that is away.
        items_left: items without an outcome.
        oldest_age_s: how long the oldest pending or queued shard has existed; None: there is none.
        backlog_items: items without an outcome of jobs that may run.
        backlog_seconds: what those would take one worker process; see `jobstore.backlog.seconds_per_item`.
        waiting: why something waits; None: nothing does.
        reason: the same in words.
    """

    queue: str
    hardware: str
    pending: int
    queued: int
    leased: int
    held: int
    items_left: int
    oldest_age_s: float | None
    backlog_items: int
    backlog_seconds: float
    waiting: Waiting | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AutoscaleFigures:
    """How much work a hardware class has, for whoever starts and stops its workers.

    Attributes:
        backlog_items: items without an outcome of jobs that may run.
        backlog_seconds: what they would take one worker process.
        oldest_age_seconds: how long the oldest shard that nobody works on has waited; 0: none waits.
        active: shards that are worked on at this moment.
        workers: live worker processes that serve the class and were not asked to leave.
    """

    hardware: str
    backlog_items: int
    backlog_seconds: float
    oldest_age_seconds: float
    active: int
    workers: int


@dataclass(frozen=True, slots=True)
class MachineReport:
    """The machine of a hardware class, as a worker of it reported it when it started.

    Attributes:
        hardware: the class that was asked for; the worker's own may be a more special one.
        description: what the worker said, as JSON's types.
        heard: the worker's last sign of life, seconds since the epoch by the database's clock.
        age_s: seconds since then.
        is_live: the worker runs.
    """

    hardware: str
    worker_id: WorkerId
    description: Mapping[str, Any]
    heard: float
    age_s: float
    is_live: bool
