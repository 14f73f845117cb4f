"""Two jobs over the same pictures: what the one found and the other did not."""

from __future__ import annotations

from producer.judging.comparison.compare import Job, compare, differences
from producer.judging.comparison.figures import (
    Change,
    ClassChanges,
    Comparison,
    Difference,
    ItemDifference,
    Kind,
    Side,
)
from producer.judging.comparison.measures import MEASURES, measure
from producer.judging.comparison.pairing import RowPair, pair_rows

__all__ = [
    "MEASURES",
    "Change",
    "ClassChanges",
    "Comparison",
    "Difference",
    "ItemDifference",
    "Job",
    "Kind",
    "RowPair",
    "Side",
    "compare",
    "differences",
    "measure",
    "pair_rows",
]
