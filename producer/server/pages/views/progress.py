"""How far a job is, how fast it goes, when it will be done, and what it may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobstore.schema import JobState
from producer.progress import eta_of
from producer.server.pages import words

if TYPE_CHECKING:
    from jobstore.glances import Pace
    from jobstore.views import JobStatus


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the bar; `start` and `share` are percents of its width."""

    name: str
    count: int
    start: float
    share: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A job in figures.

    Attributes:
        parts: ok, cached, failed, skipped and left, those that there are, in this order.
        now, mean: speeds in words; a dash where nothing can be said.
        eta: a span in words; None: the job has ended, or nothing can be said.
        acts: what a person may ask of it now.
    """

    job: JobStatus
    parts: tuple[Part, ...]
    percent: str
    now: str
    mean: str
    eta: str | None
    acts: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The bar in words, for those who do not see it."""
        told = ", ".join(f"{part.count:,} {part.name}" for part in self.parts) or "no items"
        return f"{self.percent} of {words.plural(self.job.total, 'item')}: {told}"


def progress_of(job: JobStatus, pace: Pace | None = None) -> Progress:
    """Give a job's figures; `pace` is what happens now, where somebody looked."""
    unit = "frames" if job.frames else "img"
    mean = (job.frames or job.done) / job.elapsed_s if job.started is not None and job.elapsed_s > 0 else None
    current = pace.items_per_second if pace is not None and not job.is_ended else None
    eta = eta_of(job, current or 0.0)
    return Progress(
        job=job,
        parts=parts_of(job),
        percent=words.percent(job.done, job.total),
        now=words.rate(current),
        mean=words.rate(mean, unit),
        eta=None if eta is None else words.span(eta.low_s, eta.high_s),
        acts=acts_of(job),
    )


def parts_of(job: JobStatus) -> tuple[Part, ...]:
    """Give the parts of the bar; they fill it."""
    counts = (("ok", job.ok), ("cached", job.cached), ("failed", job.failed), ("skipped", job.skipped))
    parts, start = [], 0.0
    for name, number in (*counts, ("left", job.pending)):
        if number:
            share = 100 * number / job.total
            parts.append(Part(name, number, round(start, 3), round(share, 3)))
            start += share
    return tuple(parts)


def acts_of(job: JobStatus) -> tuple[str, ...]:
    """Give what a person may ask of a job in its state."""
    if job.is_ended:
        return ()
    steering = {JobState.CANARY: ("pause",), JobState.RUNNING: ("pause",), JobState.DRAFT: ()}
    return (*steering.get(job.state, ("resume",)), "priority", "cancel")
