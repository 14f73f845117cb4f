"""Open-vocabulary detection: boxes of whatever the caller names; the prediction is `Detections` over those names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference_engine.errors import ParameterInvalid
from inference_engine.inference_config import NmsDefaults
from inference_engine.recommended import Recommended
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.parts import parameters
from inference_engine.tasks.parts.parameters import ByClass

TASK = "open-vocabulary-object-detection"


@dataclass(frozen=True, slots=True)
class OpenVocabularyParams:
    """What a call or a job asks of a detector that takes names.

    Attributes:
        classes: what is looked for, in the caller's words; a box's class id is the index into them.
        confidence: lowest score that is kept, 0 to 1.
        iou_threshold: overlap above which the weaker of two boxes goes, 0 to 1.
        max_detections: boxes an image at most.
        class_agnostic: boxes of different names suppress each other too.
        per_class_confidence: thresholds of single names; passed as a mapping of names to numbers.
    """

    classes: tuple[str, ...]
    confidence: float
    iou_threshold: float
    max_detections: int
    class_agnostic: bool
    per_class_confidence: ByClass = ()


def open_vocabulary_params(given: Mapping[str, Any], defaults: NmsDefaults) -> OpenVocabularyParams:
    """Check what was given, and fill up from the package's defaults.

    Raises:
        ParameterInvalid: no names are given, a parameter is unknown, or a value out of range.
    """
    parameters.check_names(given, OpenVocabularyParams, "an open-vocabulary detector")
    if given.get("classes") is None:
        raise ParameterInvalid("an open-vocabulary detector must be told what to look for: classes=[...]")
    classes = parameters.words(given["classes"], "classes")
    return OpenVocabularyParams(
        **parameters.suppression_params(given, defaults),
        **parameters.score_params({**given, "classes": classes}, defaults.confidence, classes, Recommended()),
    )


PREDICTION = Detections
