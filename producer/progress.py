"""How far a job is and when it may be done. Pure; times are seconds by the database's clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobstore.schema import JobState
    from jobstore.views import JobStatus

#: Seconds of the past that the present rate is taken over.
WINDOW_S = 15.0
#: A count of n independent events is off by less than this many of its square roots in 19 of 20 cases (Poisson).
_ROOTS = 2.0


@dataclass(slots=True)
class Pace:
    """How fast a job goes, over the last seconds; times are the database's."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, done: int) -> None:
        """Note how many items are done by now."""
        self.samples.append((now, done))
        while len(self.samples) > 2 and now - self.samples[1][0] > WINDOW_S:
            self.samples.popleft()

    @property
    def items_per_second(self) -> float:
        """Items a second; 0 while nothing can be said. Counted from the moment before the first item was done."""
        if len(self.samples) < 2:
            return 0.0
        still = [sample for sample in self.samples if sample[1] == self.samples[0][1]]
        (then, before), (now, done) = still[-1], self.samples[-1]
        return (done - before) / (now - then) if now > then else 0.0

    def eta_s(self, pending: int) -> float | None:
        """Seconds until nothing is pending; None while nothing can be said."""
        return pending / self.items_per_second if self.items_per_second else None


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until a job is done, if it goes on as it did."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A job at one moment.

    Attributes:
        done: items that have an outcome.
        items_per_second: over the last seconds where it was watched, else since its first shard; 0: nothing is known.
        eta: None while nothing can be said, and of a job that does not run.
        message: why it stands still, if it does.
    """

    state: JobState
    done: int
    total: int
    failed: int
    cached: int
    skipped: int
    objects: int
    items_per_second: float
    eta: Eta | None
    message: str | None


def eta_of(status: JobStatus, rate: float) -> Eta | None:
    """Give the range between the present rate and that of the whole job, widened as counting so few items asks for.

    Args:
        rate: items a second at present; 0: only the whole job's is known.
    """
    rates = [each for each in (rate, status.items_per_second or 0.0) if each > 0]
    if status.is_settled or not status.pending or not status.done or not rates:
        return None
    slack = min(0.9, _ROOTS / math.sqrt(status.done))
    return Eta(status.pending / (max(rates) * (1 + slack)), status.pending / (min(rates) * (1 - slack)))


def progress_of(status: JobStatus, pace: Pace | None = None) -> Progress:
    """Give a job's progress.

    Args:
        pace: told of every status before this one; None: this is the only one.
    """
    rate = 0.0 if pace is None else pace.items_per_second
    return Progress(
        state=status.state,
        done=status.done,
        total=status.total,
        failed=status.failed,
        cached=status.cached,
        skipped=status.skipped,
        objects=status.objects,
        items_per_second=rate or status.items_per_second or 0.0,
        eta=eta_of(status, rate),
        message=status.message,
    )
