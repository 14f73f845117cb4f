"""Why something waits. Pure: what SQL counted goes in, a code and words for people come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobstore.schema import JobState, WorkerRow
from jobstore.views import Waiting

#: Seconds after which a hint that idle workers did not take counts as not reaching them: the relay sends one that left
#: Redis again after five.
OVERDUE_S = 15.0


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What is known of one queue.

    Attributes:
        due: shards that wait for a worker, in the window or behind it.
        leased: shards that are worked on.
        due_age_s: how long the oldest shard that is due has been so.
        held: jobs that hold shards back, by their state.
        troubles: why models cannot be opened at the moment, in words.
        refusals: what became of the classes that these jobs tried before, such as `gpu-sm90: no_runnable_backend`.
    """

    hardware: str
    due: int
    leased: int
    due_age_s: float = 0.0
    held: Mapping[JobState, int] = field(default_factory=dict)
    troubles: Sequence[str] = ()
    refusals: Sequence[str] = ()


def explain(facts: QueueFacts, live: Sequence[WorkerRow]) -> tuple[Waiting, str] | None:
    """Say why shards of a queue wait, or None where none does.

    Args:
        live: workers of any class that take work at this moment.
    """
    if not facts.due:
        return None if facts.leased else _held(facts)
    if facts.leased:
        return Waiting.WINDOW_FULL, f"works: {_count(facts.leased, 'shard')} in hand, {facts.due:,} follow"
    serving = [worker for worker in live if facts.hardware in worker.serves]
    if not serving:
        tried = f"; refused before: {', '.join(facts.refusals)}" if facts.refusals else ""
        return Waiting.NO_WORKER, f"no worker serves {facts.hardware}{tried}"
    busy = sum(worker.active > 0 for worker in serving)
    if busy:
        return Waiting.BUSY, f"{busy} of {_count(len(serving), 'worker')} busy with other models"
    if facts.due_age_s > OVERDUE_S:
        words = f"no hint reached {_count(len(serving), 'idle worker')} for {facts.due_age_s:.0f} s: waiting for Redis"
        return Waiting.BROKER, words
    return Waiting.TAKEN_SOON, "just due"


def words_of_trouble(hardware: str, message: str, wait_s: float) -> str:
    """Say why a model does not open on a class, and when the next try is due."""
    following = f"in {wait_s:.0f} s" if wait_s >= 1 else "now"
    return f"the model cannot be opened on {hardware}: {message.partition(chr(10))[0]}; next try {following}"


def _held(facts: QueueFacts) -> tuple[Waiting, str] | None:
    jobs = facts.held
    if facts.troubles:
        return Waiting.MODEL_AWAY, "; ".join(facts.troubles)
    if stopped := jobs.get(JobState.NEEDS_ATTENTION):
        return Waiting.NEEDS_ATTENTION, f"{_count(stopped, 'job')} stopped and needs attention: resume or cancel"
    if paused := jobs.get(JobState.PAUSED):
        return Waiting.PAUSED, f"{_count(paused, 'job')} paused"
    if trying := sum(jobs.values()):
        return Waiting.CANARY, f"{_count(trying, 'job')} with its first items elsewhere or just done"
    return None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
