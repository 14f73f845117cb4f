"""What the reference candidate says of the samples, and whether another candidate says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_engine.agreement import (
    Tolerance,
    compare_best_class,
    compare_detections,
    compare_labels,
    compare_outputs,
    tolerance_of,
)
from inference_engine.images import Fit
from inference_engine.likeness import LIKENESSES
from inference_engine.measurements import Agreement
from inference_engine.model import VisionModel
from inference_engine.negotiation import Candidate, Reason, is_reduced
from inference_engine.sessions import Tensors
from inference_engine.tasks import classification, multi_label

#: How predictions of all classes are compared, by task.
_OF_CLASSES = {classification.TASK: compare_best_class, multi_label.TASK: compare_labels}
#: Confidences from which boxes are compared where the package's own gives too few of these pictures.
_LEVELS = (0.1, 0.03, 0.01)


@dataclass(frozen=True, slots=True)
class Reference:
    """What the reference candidate said, image by image.

    Attributes:
        threshold: confidence from which boxes are compared; None where tensors are, or no box was found.
    """

    candidate: Candidate
    model: VisionModel
    outputs: Sequence[Tensors]
    fits: Sequence[Fit]
    threshold: float | None


def reference_of(
    candidate: Candidate, model: VisionModel, outputs: Sequence[Tensors], fits: Sequence[Fit]
) -> Reference:
    """Take a candidate's outputs as what the others must agree with.

    Raises:
        EngineError: an image's outputs cannot be right.
    """
    threshold = _threshold(model, outputs, fits) if model.package.task in LIKENESSES else None
    return Reference(candidate, model, outputs, fits, threshold)


def agreement_with(
    reference: Reference, candidate: Candidate, model: VisionModel, outputs: Sequence[Tensors], fits: Sequence[Fit]
) -> Agreement | None:
    """How near a candidate comes to the reference; None where there is nothing to compare.

    Raises:
        EngineError: an image's outputs cannot be right.
    """
    tolerance, task = tolerance_of(candidate.quantization), model.package.task
    if (of_classes := _OF_CLASSES.get(task)) is not None:
        every = {"confidence": 0, "max_classes": max(1, len(model.class_names))}
        expected = _decode(reference.model, reference.outputs, reference.fits, every)
        return of_classes(expected, _decode(model, outputs, fits, every), tolerance)
    if task not in LIKENESSES:
        return compare_outputs(reference.outputs, outputs, tolerance)
    if reference.threshold is None:
        return None
    low = max(reference.threshold - tolerance.max_score, reference.threshold / 10)
    sure = {"confidence": low}
    expected = _decode(reference.model, reference.outputs, reference.fits, sure)
    return compare_detections(expected, _decode(model, outputs, fits, sure), reference.threshold, tolerance, task)


def against(
    reference: Reference,
    candidate: Candidate,
    agreement: Agreement | None,
    *,
    is_asked: bool,
    is_rectangular: bool = False,
) -> Reason | None:
    """The reason against a candidate that does not agree.

    Without one box there is no evidence: full precision is then taken on trust, a lower one only where it is asked for,
    other shapes never.
    """
    if agreement is None and is_rectangular:
        return _not_compared(reference, "rectangular input")
    if agreement is None:
        return None if is_asked or not is_reduced(candidate) else _not_compared(reference, candidate.quantization)
    if agreement.agrees:
        return None
    tolerance = tolerance_of(candidate.quantization)
    return Reason("outputs_disagree", f"{agreement}; expected {_wanted(agreement.by, tolerance)} at most")


def _wanted(by: str, tolerance: Tolerance) -> str:
    share = f"{tolerance.min_share:.0%}"
    if by == "outputs":
        return f"{share} off by {tolerance.max_distance}"
    overlap = "" if by == "classes" else f" at IoU {tolerance.min_iou} or more"
    return f"{share}{overlap}, scores off by {tolerance.max_score}"


def _not_compared(reference: Reference, what: str) -> Reason:
    return Reason(
        "outputs_not_compared",
        f"the reference candidate finds nothing in {len(reference.outputs)} pictures, so {what} cannot be judged",
        "give samples that show what the model looks for",
    )


def _decode(model: VisionModel, outputs: Sequence[Tensors], fits: Sequence[Fit], given: Mapping[str, Any]) -> list[Any]:
    params = model.check_params(given)
    found = [model.postprocess(one, [fit], params)[0] for one, fit in zip(outputs, fits, strict=True)]
    for prediction in found:
        if isinstance(prediction, Exception):
            raise prediction
    return found


def _threshold(model: VisionModel, outputs: Sequence[Tensors], fits: Sequence[Fit]) -> float | None:
    """The package's own confidence where that gives a box a picture, else the first lower level that does."""
    own = model.package.config.nms.confidence
    low = None
    for level in (own, *(level for level in _LEVELS if level < own)):
        count = sum(map(len, _decode(model, outputs, fits, {"confidence": level})))
        if count >= len(outputs):
            return level
        low = level if count else low
    return low
