"""The most doubtful pictures of a job, by its own scores or by what another job found on them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from producer.errors import NotComparable
from producer.judging.comparison import Kind, differences
from producer.judging.review.doubts import DOUBTS, Doubt, doubt_of, thresholds_of

if TYPE_CHECKING:
    from jobstore.views import JobStatus, ResultRow
    from producer.judging.comparison import Difference, RowPair


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One picture.

    Attributes:
        doubt: larger is less sure.
        words: why.
    """

    uri: str
    frame: int
    idx: int
    doubt: float
    words: str


@dataclass(frozen=True, slots=True)
class Review:
    """The pictures to look at, the most doubtful first.

    Attributes:
        measure: `margin`, `entropy`, `confidence`, `pixels` or `disagreement`; `docs/judging.md` says what each is.
        images: pictures that were ranked.
    """

    job_id: str
    model: str
    measure: str
    images: int
    items: tuple[ReviewItem, ...]


#: A picture's doubt, and the rows that show it: of the job, and of another one where there is one.
_Judged: TypeAlias = "tuple[Doubt, tuple[ResultRow, ...]]"


def review(
    job: JobStatus, rows: Callable[[], Iterable[ResultRow]], count: int
) -> tuple[Review, tuple[tuple[ResultRow, ...], ...]]:
    """Rank by what the job's own scores say.

    Args:
        rows: gives the job's rows from the first on; read twice where the job names no threshold.
        count: pictures that are wanted; those without any doubt are never among them.

    Returns:
        The ranking, and the rows of its pictures in the same order.

    Raises:
        NotComparable: the task says nothing of how sure it is, or a record is damaged.
    """
    name, _ = DOUBTS.get(job.task or "", ("", None))
    if not name:
        raise NotComparable(
            f"a job of task {job.task!r} does not say how sure it is; expected one of {', '.join(DOUBTS)}, or another "
            "job to hold it against: --against JOB"
        )
    lowest = _lowest(rows()) if name == "margin" and job.params.get("confidence") is None else None
    thresholds = thresholds_of(job.params, lowest)
    return _ranked(job, name, (_judged(row, lambda r: doubt_of(r.record or {}, r.blob, thresholds))
                               for row in rows() if row.holds_prediction), count)  # fmt: skip


def review_against(
    job: JobStatus, pairs: Iterable[RowPair], count: int
) -> tuple[Review, tuple[tuple[ResultRow, ...], ...]]:
    """Rank by how much another job disagrees; what cannot be compared is left out."""
    judged = ((_told(difference), (one, other)) for one, other, difference in differences(pairs))
    return _ranked(job, "disagreement", judged, count)


def _judged(row: ResultRow, doubt: Callable[[ResultRow], Doubt]) -> _Judged:
    try:
        return doubt(row), (row,)
    except (KeyError, ValueError, TypeError) as error:
        raise NotComparable(f"the record of {row.uri} does not say how sure it is: {error}") from error


def _lowest(rows: Iterable[ResultRow]) -> float | None:
    """The lowest score of all records."""
    scores = ((row.record or {}).get("confidence") or () for row in rows if row.holds_prediction)
    return min(itertools.chain.from_iterable(scores), default=None)


def _told(difference: Difference) -> Doubt:
    counts = ((kind, sum(change.kind is kind for change in difference.changes)) for kind in Kind)
    words = ", ".join(f"{count} {kind}" for kind, count in counts if count)
    return Doubt(difference.disagreement, words or f"disagreement {difference.disagreement:.3f}")


def _ranked(
    job: JobStatus, measure: str, judged: Iterable[_Judged], count: int
) -> tuple[Review, tuple[tuple[ResultRow, ...], ...]]:
    images = itertools.count()
    best = heapq.nlargest(count, _numbered(judged, images), key=lambda entry: (entry[1][0].score, -entry[0]))
    items = tuple(
        ReviewItem(rows[0].uri, rows[0].frame, rows[0].idx, doubt.score, doubt.words) for _, (doubt, rows) in best
    )
    ranking = Review(job.job_id, job.model, measure, next(images), items)
    return ranking, tuple(rows for _, (_, rows) in best)


def _numbered(judged: Iterable[_Judged], images: itertools.count[int]) -> Iterator[tuple[int, _Judged]]:
    """With their numbers; those without doubt are counted and left out."""
    for each in judged:
        number = next(images)
        if each[0].score > 0:
            yield number, each
