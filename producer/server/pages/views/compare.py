"""A comparison of two jobs, with the pictures on which they differ most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.judging.comparison.report import class_columns, class_rows, headline
from producer.judging.page import shown
from producer.server.pages.views.gallery import CanShow, Figure, figure_of
from producer.server.pages.views.overlay import Filter, overlay_of

if TYPE_CHECKING:
    from jobstore.views import ResultRow
    from producer.judging.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture in both jobs, and what became of its objects."""

    disagreement: str
    words: str
    a: Figure
    b: Figure


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything that the page shows; `classes` is a table with its names of columns first."""

    comparison: Comparison
    headline: str
    classes: tuple[tuple[str, ...], ...]
    worst: tuple[Pair, ...]


def compared(comparison: Comparison, worst: Sequence[tuple[ResultRow, ResultRow]], can_show: CanShow) -> Compared:
    """Give a comparison in words and pictures; `worst` are the rows of `comparison.worst`."""
    classes = [class_columns(), *([shown(cell) for cell in row] for row in class_rows(comparison))]
    pairs = []
    for item, (row_a, row_b) in zip(comparison.worst, worst, strict=True):
        counted = Counter(str(change.kind) for change in item.difference.changes)
        words = ", ".join(f"{number} {kind}" for kind, number in counted.items())
        a, b = (
            figure_of(row, overlay_of(row.record or {}, Filter()), is_shown=can_show(row)) for row in (row_a, row_b)
        )
        pairs.append(Pair(shown(item.difference.disagreement), words, a, b))
    return Compared(
        comparison=comparison,
        headline=headline(comparison),
        classes=tuple(tuple(map(str, row)) for row in classes) if comparison.classes else (),
        worst=tuple(pairs),
    )
