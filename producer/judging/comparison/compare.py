"""All pictures of two jobs compared, in one pass over both."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from producer.errors import NotComparable
from producer.judging.comparison.figures import (
    Change,
    ClassChanges,
    Comparison,
    Difference,
    ItemDifference,
    Kind,
    Side,
)
from producer.judging.comparison.measures import measure
from producer.judging.comparison.pairing import RowPair
from producer.judging.speed import images_per_second

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow

WORST = 50
_PROBLEMS_SHOWN = 5
#: Disagreement, the pair's number below 0, so that of equals the first stays, and the pair.
_Entry: TypeAlias = "tuple[float, int, tuple[ItemDifference, tuple[ResultRow, ResultRow]]]"


@dataclass(frozen=True, slots=True)
class Job:
    """One side of a comparison."""

    status: JobStatus
    decisions: Sequence[DecisionRow] = ()


def compare(
    a: Job, b: Job, pairs: Iterable[RowPair], *, worst: int = WORST
) -> tuple[Comparison, tuple[tuple[ResultRow, ResultRow], ...]]:
    """Compare two jobs.

    Args:
        pairs: as `pair_rows` gives them; the first of each is `a`'s.
        worst: pairs that are listed.

    Returns:
        The figures, and the rows of the worst pairs in the order in which the figures list them.

    Raises:
        NotComparable: no picture is in both, or not one of them can be compared.
    """
    books = _Books(worst)
    for one, other in pairs:
        books.add(one, other)
    if books.problems and not books.pairs:
        raise NotComparable(books.problems[0])
    if not books.pairs and not (books.failed["a"] or books.failed["b"] or books.failed["both"]):
        raise NotComparable(
            f"jobs {a.status.job_id} and {b.status.job_id} have no picture in common: {books.only['a']:,} only in the "
            f"first, {books.only['b']:,} only in the second; expected two jobs over the same files"
        )
    listed = [item for _, _, item in sorted(books.heap, key=lambda entry: (-entry[0], -entry[1]))]
    comparison = Comparison(
        a=_side(a),
        b=_side(b),
        task=books.task,
        pairs=books.pairs,
        same=books.same,
        only_a=books.only["a"],
        only_b=books.only["b"],
        failed_a=books.failed["a"],
        failed_b=books.failed["b"],
        failed_both=books.failed["both"],
        not_comparable=books.not_comparable,
        problems=tuple(books.problems),
        disagreement=books.total / books.pairs if books.pairs else None,
        figures={name: total / count for name, (total, count) in sorted(books.sums.items())},
        counts={kind.value: books.kinds[kind] for kind in Kind},
        classes=books.class_changes(),
        worst=tuple(item for item, _ in listed),
    )
    return comparison, tuple(rows for _, rows in listed)


def differences(pairs: Iterable[RowPair]) -> Iterator[tuple[ResultRow, ResultRow, Difference]]:
    """The difference of each pair that both jobs labelled and that can be compared."""
    for one, other in pairs:
        if one is not None and other is not None and one.holds_prediction and other.holds_prediction:
            try:
                difference = measure(one, other)
            except NotComparable:
                continue
            yield one, other, difference


def _side(job: Job) -> Side:
    status = job.status
    ran = {f"{row.package_id} {row.backend} {row.quantization} on {row.device}": None for row in job.decisions}
    return Side(
        job_id=status.job_id,
        name=status.name,
        model=status.model,
        digest=status.model_digest,
        params=status.params,
        state=status.state.value,
        decisions=tuple(ran),
        images_per_second=images_per_second(status),
    )


@dataclass(slots=True)
class _Class:
    """One class while rows pass by."""

    a: int = 0
    b: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    flipped: Counter[str] = field(default_factory=Counter)
    overlaps: float = 0.0
    placed: int = 0
    shifts: float = 0.0


@dataclass(slots=True)
class _Books:
    """Sums over all pairs; their size grows with the classes, not with the pictures."""

    worst: int
    pairs: int = 0
    same: int = 0
    total: float = 0.0
    task: str | None = None
    not_comparable: int = 0
    problems: list[str] = field(default_factory=list)
    only: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    kinds: Counter[Kind] = field(default_factory=Counter)
    sums: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    classes: defaultdict[str, _Class] = field(default_factory=lambda: defaultdict(_Class))
    heap: list[_Entry] = field(default_factory=list)

    def add(self, one: ResultRow | None, other: ResultRow | None) -> None:
        if one is None or other is None:
            self.only["a" if other is None else "b"] += 1
        elif not one.holds_prediction or not other.holds_prediction:
            is_said = one.holds_prediction or other.holds_prediction
            self.failed["both" if not is_said else "b" if one.holds_prediction else "a"] += 1
        else:
            try:
                self._add_pair(one, other, measure(one, other))
            except NotComparable as error:
                self.not_comparable += 1
                if len(self.problems) < _PROBLEMS_SHOWN:
                    self.problems.append(str(error))

    def _add_pair(self, one: ResultRow, other: ResultRow, difference: Difference) -> None:
        self.pairs += 1
        self.task = (one.record or {}).get("task")
        self.total += difference.disagreement
        is_same = one.record == other.record and one.blob == other.blob
        self.same += is_same
        for name, value in difference.figures.items():
            self.sums[name][0] += value
            self.sums[name][1] += 1
        for change in difference.changes:
            self._add_change(change)
        if not is_same and self.worst:
            item = ItemDifference(one.uri, other.uri, one.frame, difference)
            entry = (difference.disagreement, -self.pairs, (item, (one, other)))
            (heapq.heappush if len(self.heap) < self.worst else heapq.heappushpop)(self.heap, entry)

    def _add_change(self, change: Change) -> None:
        self.kinds[change.kind] += 1
        if change.class_a is not None:
            mine = self.classes[change.class_a]
            mine.a += 1
            if change.kind is not Kind.FLIPPED:
                mine.kinds[change.kind] += 1
            elif change.class_b is not None:
                mine.flipped[change.class_b] += 1
        if change.class_b is not None:
            self.classes[change.class_b].b += 1
            if change.kind is Kind.NEW:
                self.classes[change.class_b].kinds[change.kind] += 1
        if change.kind is Kind.MATCHED and change.class_a is not None:
            mine = self.classes[change.class_a]
            mine.shifts += (change.score_b or 0.0) - (change.score_a or 0.0)
            if change.overlap is not None:
                mine.overlaps, mine.placed = mine.overlaps + change.overlap, mine.placed + 1

    def class_changes(self) -> tuple[ClassChanges, ...]:
        found = [_class_changes(name, each) for name, each in self.classes.items()]
        return tuple(
            sorted(found, key=lambda each: (-each.missing - each.new - sum(each.flipped.values()), -each.a, each.name))
        )


def _class_changes(name: str, each: _Class) -> ClassChanges:
    matched = each.kinds[Kind.MATCHED]
    return ClassChanges(
        name=name,
        a=each.a,
        b=each.b,
        matched=matched,
        missing=each.kinds[Kind.MISSING],
        new=each.kinds[Kind.NEW],
        flipped=dict(each.flipped.most_common()),
        mean_overlap=each.overlaps / each.placed if each.placed else None,
        mean_score_shift=each.shifts / matched if matched else None,
    )
