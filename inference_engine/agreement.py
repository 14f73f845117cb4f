"""Whether two candidates give the same predictions, within what their precision may cost. Pure.

Detections are compared decoded, as boxes, masks, key points or turned boxes: greedy matching by score within a class,
as evaluation on COCO does it. Boxes near the confidence threshold would flicker, so both sides are decoded a little
below it, and only those above it count.
Classifiers are compared as scores of all classes: the best class of an image, or the classes above one half, must be
the same, unless the reference itself is undecided. Other tasks are judged by the distance of their raw outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_engine.likeness import LIKENESSES, Instances, Likeness
from inference_engine.measurements import Agreement
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.classification import ClassificationPrediction


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far predictions may lie from the reference's.

    Attributes:
        min_iou: overlap from which two boxes are one.
        min_share: of the boxes or images, that must have their like.
        max_score: mean absolute difference of the scores of matched boxes, or of the best class.
        max_distance: of raw outputs, `|a - b| / |a|` over one image.
    """

    min_iou: float
    min_share: float
    max_score: float
    max_distance: float


#: Full precision differs by the order of additions only. bfloat16 keeps 8 bits: boxes move by some pixels, scores by a
#: few hundredths. int8 gives 256 steps a tensor; 0.9 of the boxes at IoU 0.6 is what static quantisation of small
#: detectors keeps (models/digits: 0.97 and more).
TOLERANCES = {
    "fp32": Tolerance(0.9, 0.95, 0.01, 0.01),
    "fp16": Tolerance(0.75, 0.9, 0.03, 0.05),
    "bf16": Tolerance(0.75, 0.9, 0.03, 0.05),
    "int8": Tolerance(0.6, 0.9, 0.08, 0.2),
}


def tolerance_of(precision: str) -> Tolerance:
    """What a precision may cost; one that is not known is held to bfloat16's."""
    return TOLERANCES.get(precision, TOLERANCES["bf16"])


def compare_detections(
    reference: Sequence[Instances],
    found: Sequence[Instances],
    threshold: float,
    tolerance: Tolerance,
    task: str = detection.TASK,
) -> Agreement:
    """Compare instances image by image, in both directions: one that is missing counts as much as one too many.

    Args:
        reference: decoded from a confidence below `threshold`, at best by `tolerance.max_score`; so is `found`.
        threshold: confidence from which a box on either side must have its like on the other.
    """
    what, likeness = LIKENESSES[task]
    compared, alike = 0, 0
    overlap: list[float] = []
    difference: list[float] = []
    for one, other in zip(reference, found, strict=True):
        sure_one, sure_other = one.confidence >= threshold, other.confidence >= threshold
        compared += int(sure_one.sum() + sure_other.sum())
        for left, right, iou in match_instances(one, other, likeness(one, other), tolerance.min_iou):
            alike += int(sure_one[left]) + int(sure_other[right])
            if sure_one[left] or sure_other[right]:
                overlap.append(iou)
                difference.append(abs(float(one.confidence[left]) - float(other.confidence[right])))
    share = alike / compared if compared else 0.0
    off = float(np.mean(difference)) if difference else 0.0
    agrees = compared > 0 and share >= tolerance.min_share and off <= tolerance.max_score
    return Agreement(what, compared, share, float(np.mean(overlap)) if overlap else None, off, agrees)


def match_instances(
    one: Instances, other: Instances, likeness: Likeness, min_iou: float
) -> list[tuple[int, int, float]]:
    """Pair instances of one class greedily, the highest score of `one` first with what is most like it.

    Returns:
        Index in `one`, index in `other`, likeness; each index at most once.
    """
    if not len(one) or not len(other):
        return []
    iou = likeness.copy()
    iou[one.class_id[:, None] != other.class_id[None, :]] = 0
    pairs = []
    for left in np.argsort(-one.confidence, kind="stable"):
        right = int(iou[left].argmax())
        if iou[left, right] >= min_iou:
            pairs.append((int(left), right, float(iou[left, right])))
            iou[:, right] = 0
    return pairs


def compare_best_class(
    reference: Sequence[ClassificationPrediction], found: Sequence[ClassificationPrediction], tolerance: Tolerance
) -> Agreement:
    """Compare single labels, image by image.

    An image agrees with the same best class, and with another where the reference's own scores of both lie nearer than
    two scores may come apart.

    Args:
        reference: with the scores of all classes; so is `found`.
    """
    alike, difference = [], []
    for one, other in zip(map(_by_class, reference), map(_by_class, found), strict=True):
        best = int(one.argmax())
        alike.append(one[best] - one[int(other.argmax())] <= 2 * tolerance.max_score)
        difference.append(abs(float(one[best] - other[best])))
    return _of_classes(alike, difference, tolerance)


def compare_labels(
    reference: Sequence[ClassificationPrediction], found: Sequence[ClassificationPrediction], tolerance: Tolerance
) -> Agreement:
    """Compare several labels, image by image: each class lies on the same side of one half, or near it on both.

    Args:
        reference: with the scores of all classes; so is `found`.
    """
    alike, difference = [], []
    for one, other in zip(map(_by_class, reference), map(_by_class, found), strict=True):
        is_same_side = (one >= _EVEN) == (other >= _EVEN)
        alike.append(bool((is_same_side | (np.abs(one - other) <= tolerance.max_score)).all()))
        difference.append(float(np.abs(one - other).max()))
    return _of_classes(alike, difference, tolerance)


#: Where a multi-label score says neither yes nor no.
_EVEN = 0.5


def _by_class(prediction: ClassificationPrediction) -> npt.NDArray[np.float32]:
    scores = np.zeros(len(prediction.class_names), dtype=np.float32)
    scores[prediction.class_id] = prediction.confidence
    return scores


def _of_classes(alike: Sequence[bool], difference: Sequence[float], tolerance: Tolerance) -> Agreement:
    share, off = float(np.mean(alike)), float(np.mean(difference))
    agrees = share >= tolerance.min_share and off <= tolerance.max_score
    return Agreement("classes", len(alike), share, None, off, agrees)


def compare_outputs(reference: Sequence[Tensors], found: Sequence[Tensors], tolerance: Tolerance) -> Agreement:
    """Compare raw outputs image by image, in their order since names differ between runtimes."""
    distances = [_distance(one, other) for one, other in zip(reference, found, strict=True)]
    near = [distance for distance in distances if distance <= tolerance.max_distance]
    share = len(near) / len(distances) if distances else 0.0
    mean = float(np.mean(np.minimum(distances, 1.0))) if distances else 0.0
    return Agreement("outputs", len(distances), share, None, mean, bool(distances) and share >= tolerance.min_share)


def _distance(one: Tensors, other: Tensors) -> float:
    """The largest relative distance of all outputs; infinite where shapes differ or a number is not finite."""
    pairs = list(zip(one.values(), other.values(), strict=False))
    if len(one) != len(other) or any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    found = [_relative(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs]
    return max(found, default=0.0) if np.isfinite(found).all() else float("inf")


def _relative(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(one - other) / max(float(np.linalg.norm(one)), 1e-12))
