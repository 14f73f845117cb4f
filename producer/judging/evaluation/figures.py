"""What an evaluation says. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class; None where the truth has no object of it.

    Attributes:
        truth: objects in the truth, crowds left out.
        found: objects that the job found.
        ap: average precision, mean over IoU 0.5 to 0.95; `ap50` and `ap75` at one IoU.
        ar: average recall, mean over IoU 0.5 to 0.95.
    """

    name: str
    truth: int
    found: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision over recall at IoU 0.5, of a class, or as the mean over classes where `name` is empty.

    Attributes:
        precision: at recall 0, 0.01 ... 1.
    """

    name: str
    precision: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KindFigures:
    """What boxes, masks or key points are worth; None where the truth has no object of the kind or size.

    Attributes:
        kind: `boxes`, `masks` or `key points`.
        ap, ap50, ap75: mean over classes.
        ap_by_size: `small` (less than 32 x 32 pixels), `medium` (less than 96 x 96), `large`; key points lack `small`.
        ar: mean over classes of the recall; `ar_by_size` likewise.
    """

    kind: str
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None
    ap_by_size: Mapping[str, float | None]
    ar_by_size: Mapping[str, float | None]
    classes: tuple[ClassFigures, ...]
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A job against its truth.

    Attributes:
        images: pictures that were judged.
        failed: those of them that the job failed on: what they hold counts as missed.
        missing: the truth's pictures that the job has no outcome for; not judged.
        strangers: the job's pictures that the truth does not know; not judged.
        unknown_to_truth: class -> objects found of classes that the truth has not; not judged.
        unknown_to_model: classes of the truth that the model does not have; their objects count as missed.
        notes: what could not be judged, and why.
    """

    job_id: str
    model: str
    truth: str
    images: int
    failed: int
    missing: tuple[str, ...]
    strangers: int
    unknown_to_truth: Mapping[str, int]
    unknown_to_model: tuple[str, ...]
    kinds: tuple[KindFigures, ...]
    notes: tuple[str, ...]
