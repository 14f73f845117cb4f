"""How unsure a model is of one picture, from its record alone. Pure.

Doubts are numbers of one task: they order its pictures, and are not to be compared between tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from drawing.planes import read_plane

#: Above its threshold by as much, an object is not doubted any more.
MARGIN = 0.2
_MOST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The scores from which objects were kept, by class name, and for classes that are not named."""

    common: float
    by_class: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """A class's."""
        return self.by_class.get(name, self.common)


@dataclass(frozen=True, slots=True)
class Doubt:
    """How unsure, and why in words."""

    score: float
    words: str


_Measure: TypeAlias = Callable[[Mapping[str, Any], bytes | None, Thresholds], Doubt]


def thresholds_of(params: Mapping[str, Any], lowest: float | None = None) -> Thresholds:
    """A job's own thresholds; where it gave none, the lowest score that was kept stands for the package's.

    Args:
        lowest: score of all records.
    """
    common = params.get("confidence")
    by_class = params.get("per_class_confidence") or {}
    return Thresholds(float(common if common is not None else lowest or 0.0), dict(by_class))


def margin(record: Mapping[str, Any], blob: bytes | None, thresholds: Thresholds) -> Doubt:  # noqa: ARG001 (as all)
    """Objects near their threshold: each counts from 1, at it, down to 0, `MARGIN` above it; a picture's are added up.

    Summing favours pictures with much to correct; of sum, mean and maximum, Brust, Käding and Denzler ("Active learning
    for deep object detection", VISAPP 2019) find it the best.
    """
    names = record.get("class_name") or ["object"] * len(record["confidence"])
    doubts = []
    for name, score in zip(names, record["confidence"], strict=True):
        doubt = 1.0 - max(0.0, score - thresholds.of(name)) / MARGIN
        if doubt > 0:
            doubts.append((doubt, f"{name} {score:.2f}"))
    doubts.sort(reverse=True)
    total, near = sum(doubt for doubt, _ in doubts), ", ".join(words for _, words in doubts[:_MOST_WORDS])
    more = f" and {len(doubts) - _MOST_WORDS} more" if len(doubts) > _MOST_WORDS else ""
    return Doubt(total, f"{len(doubts)} of {len(names)} near the threshold: {near}{more}" if doubts else "none near")


def entropy(record: Mapping[str, Any], blob: bytes | None, thresholds: Thresholds) -> Doubt:  # noqa: ARG001 (as all)
    """Entropy of the class scores in bits (Shannon); what the scores leave of 1 counts as one class more."""
    scores = [score for score in record["confidence"] if score > 0]
    rest = 1.0 - sum(scores)
    shares = [*scores, rest] if rest > 1e-6 else scores
    total = sum(shares) or 1.0
    bits = -sum(share / total * math.log2(share / total) for share in shares) + 0.0
    named = zip(record["class_name"], record["confidence"], strict=True)
    best = ", ".join(f"{name} {score:.2f}" for name, score in list(named)[:3])
    return Doubt(bits, f"{bits:.2f} bits: {best or 'no class'}")


def unread(record: Mapping[str, Any], blob: bytes | None, thresholds: Thresholds) -> Doubt:  # noqa: ARG001 (as all)
    """1 - the confidence in the text; 1 where the model gives none."""
    confidence = record.get("text_confidence")
    found = 1.0 - (confidence if confidence is not None else 0.0)
    return Doubt(found, f"confidence {'unknown' if confidence is None else f'{confidence:.2f}'}")


def unsure_pixels(record: Mapping[str, Any], blob: bytes | None, thresholds: Thresholds) -> Doubt:  # noqa: ARG001 (as all)
    """1 - the mean confidence over the pixels.

    Raises:
        ValueError: the job did not keep it.
    """
    if not record.get("with_confidence"):
        raise ValueError("the label maps were stored without their confidence")
    height, width = record["image_hw"]
    plane = read_plane(blob, (2 * height, width))[height:]
    found = 1.0 - float(np.mean(plane)) / 255
    return Doubt(found, f"mean confidence {1 - found:.2f}")


#: Task -> the name of its measure, and the measure; tasks that are not here say nothing of how sure they are.
DOUBTS: Mapping[str, tuple[str, _Measure]] = {
    "object-detection": ("margin", margin),
    "open-vocabulary-object-detection": ("margin", margin),
    "instance-segmentation": ("margin", margin),
    "interactive-instance-segmentation": ("margin", margin),
    "keypoint-detection": ("margin", margin),
    "oriented-object-detection": ("margin", margin),
    "structured-ocr": ("margin", margin),
    "action-recognition": ("margin", margin),
    "multi-label-classification": ("margin", margin),
    "classification": ("entropy", entropy),
    "text-only-ocr": ("confidence", unread),
    "semantic-segmentation": ("pixels", unsure_pixels),
}


def doubt_of(record: Mapping[str, Any], blob: bytes | None, thresholds: Thresholds) -> Doubt:
    """How unsure the model is of a picture.

    Raises:
        KeyError: the task says nothing of it.
        ValueError: the record is damaged, or kept without what is asked for.
    """
    _, measure = DOUBTS[record["task"]]
    return measure(record, blob, thresholds)
