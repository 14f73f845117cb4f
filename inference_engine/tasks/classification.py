"""Classification: which class a whole image is of, or which classes of several it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.recommended import Recommended
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.parameters import ByClass
from inference_engine.tasks.parts.supervising import import_supervision

TASK = "classification"


@dataclass(frozen=True, slots=True)
class ClassificationParams:
    """What a call or a job may ask of a classifier.

    Attributes:
        confidence: lowest score that is kept, 0 to 1; `0` and `0.0` mean the same.
        max_classes: classes an image at most, the best ones; None: all that are kept.
        classes: names that are kept; None keeps all.
        per_class_confidence: thresholds of single classes; passed as a mapping of names to numbers.
    """

    confidence: float
    max_classes: int | None
    classes: tuple[str, ...] | None = None
    per_class_confidence: ByClass = ()


def classification_params(
    given: Mapping[str, Any],
    class_names: Sequence[str],
    recommended: Recommended = Recommended(),  # noqa: B008 (frozen)
    *,
    confidence: float = 0.0,
    max_classes: int | None = 1,
) -> ClassificationParams:
    """Check what was given, and fill up; a single label is the best class, however unsure, unless something is said.

    Args:
        confidence: where neither the call nor the package says one.
        max_classes: where the call says none.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, ClassificationParams, "a classifier")
    most = given.get("max_classes")
    return ClassificationParams(
        max_classes=max_classes if most is None else parameters.count(most, "max_classes"),
        **parameters.score_params(given, confidence, class_names, recommended),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationPrediction:
    """Classes of one image, the best first; none where all are below their thresholds.

    Attributes:
        class_id: `(k,)` int64, index into the class names, each at most once.
        confidence: `(k,)` float32 in [0, 1], descending.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
        task: the behaviour that gave it: this one, or the multi-label one.
    """

    class_id: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]
    task: str = TASK

    def __post_init__(self) -> None:
        records.check_rows(self, len(self), class_id=(), confidence=())

    def __len__(self) -> int:
        return len(self.class_id)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """Names of the classes, the best first."""
        return records.names_of(self.class_id, self.class_names)

    @property
    def name(self) -> str | None:
        """Name of the best class; None where none is sure enough."""
        return self.class_names[self.class_id[0]] if len(self) else None

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back."""
        return records.scored(self.task, self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> ClassificationPrediction:
        """The prediction that `to_record` wrote."""
        confidence, class_id = records.scores(record)
        return cls(class_id, confidence, records.image_hw(record), tuple(class_names), record["task"])

    def to_supervision(self) -> Any:
        """As `supervision.Classifications`.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return import_supervision().Classifications(self.class_id.astype(int), self.confidence)


PREDICTION = ClassificationPrediction
