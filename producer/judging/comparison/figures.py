"""What a comparison says. Plain data; `a` is the first job, `b` the second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What became of one object, seen from the first job."""

    MATCHED = "matched"  # both have it, with the same class
    FLIPPED = "flipped"  # both have it, with different classes
    MISSING = "missing"  # the first has it, the second has not
    NEW = "new"  # the second has it, the first has not


@dataclass(frozen=True, slots=True)
class Change:
    """One object, or one label of a picture, in both jobs.

    Attributes:
        overlap: intersection over union of the two; None where only one has it, or it has no place.
        shift: how far the farthest corner moved, in pixels; of key points, their mean.
    """

    kind: Kind
    class_a: str | None = None
    class_b: str | None = None
    score_a: float | None = None
    score_b: float | None = None
    overlap: float | None = None
    shift: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two records of one picture.

    Attributes:
        disagreement: 0 for the same, 1 for nothing in common; what the worst are sorted by.
        figures: the task's own measures by name; `docs/judging.md` says what each means.
    """

    disagreement: float
    figures: Mapping[str, float] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemDifference:
    """One picture that both jobs labelled."""

    uri_a: str
    uri_b: str
    frame: int
    difference: Difference


@dataclass(frozen=True, slots=True)
class ClassChanges:
    """What became of one class's objects.

    Attributes:
        a, b: objects of the class in each job.
        flipped: of the first job's, by the class that the second gives them.
        mean_overlap, mean_score_shift: of matched ones; the shift is the second's score less the first's.
    """

    name: str
    a: int
    b: int
    matched: int
    missing: int
    new: int
    flipped: Mapping[str, int]
    mean_overlap: float | None
    mean_score_shift: float | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two jobs, and why it ran as it did."""

    job_id: str
    name: str
    model: str
    digest: str | None
    params: Mapping[str, Any]
    state: str
    decisions: tuple[str, ...]
    images_per_second: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two jobs.

    Attributes:
        pairs: pictures that both labelled.
        same: of these, with equal records.
        only_a, only_b: pictures that the other job does not have.
        not_comparable: pictures that both labelled and that cannot be compared, since the file was replaced or a record
            is damaged; `problems` are the first of them.
        failed_a, failed_b: pictures that this job failed on and the other did not; `failed_both`: both.
        disagreement: mean over pairs.
        figures: mean of each measure over the pairs that have it.
        counts: objects by what became of them.
        classes: by class, those that changed most first.
        worst: pairs that disagree most, the worst first; pairs with equal records are never among them.
    """

    a: Side
    b: Side
    task: str | None
    pairs: int
    same: int
    only_a: int
    only_b: int
    failed_a: int
    failed_b: int
    failed_both: int
    not_comparable: int
    problems: tuple[str, ...]
    disagreement: float | None
    figures: Mapping[str, float]
    counts: Mapping[str, int]
    classes: tuple[ClassChanges, ...]
    worst: tuple[ItemDifference, ...]
