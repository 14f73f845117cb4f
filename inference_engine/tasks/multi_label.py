"""Multi-label classification: each class is there or not; the prediction is that of classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference_engine.recommended import Recommended
from inference_engine.tasks.classification import (
    ClassificationParams,
    ClassificationPrediction,
    classification_params,
)

TASK = "multi-label-classification"

#: A class that is more likely there than not, where neither the call nor the package says otherwise.
_EVEN = 0.5


def multi_label_params(
    given: Mapping[str, Any],
    class_names: Sequence[str],
    recommended: Recommended = Recommended(),  # noqa: B008 (frozen)
) -> ClassificationParams:
    """Check what was given, and fill up.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    return classification_params(given, class_names, recommended, confidence=_EVEN, max_classes=None)


PREDICTION = ClassificationPrediction
