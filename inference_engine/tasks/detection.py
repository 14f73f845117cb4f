"""Object detection: boxes with a class and a confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes
from inference_engine.inference_config import NmsDefaults
from inference_engine.recommended import Recommended
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.parameters import ByClass
from inference_engine.tasks.parts.supervising import supervision_detections

TASK = "object-detection"


@dataclass(frozen=True, slots=True)
class DetectionParams:
    """What a call or a job may ask of a detector.

    Attributes:
        confidence: lowest score that is kept, 0 to 1; `0` and `0.0` mean the same.
        iou_threshold: overlap above which the weaker of two boxes goes, 0 to 1.
        max_detections: boxes an image at most.
        class_agnostic: boxes of different classes suppress each other too.
        classes: names that are kept; None keeps all.
        per_class_confidence: thresholds of single classes; passed as a mapping of names to numbers.
    """

    confidence: float
    iou_threshold: float
    max_detections: int
    class_agnostic: bool
    classes: tuple[str, ...] | None = None
    per_class_confidence: ByClass = ()


def detection_params(
    given: Mapping[str, Any],
    defaults: NmsDefaults,
    class_names: Sequence[str],
    recommended: Recommended = Recommended(),  # noqa: B008 (frozen)
) -> DetectionParams:
    """Check what was given, and fill up from the package's defaults.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, DetectionParams, "a detector")
    return DetectionParams(
        **parameters.suppression_params(given, defaults),
        **parameters.score_params(given, defaults.confidence, class_names, recommended),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one image.

    Attributes:
        xyxy: `(n, 4)` float32, pixels of the original upright image, `x_min, y_min, x_max, y_max`.
        confidence: `(n,)` float32 in [0, 1], descending.
        class_id: `(n,)` int64, index into the class names.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model; of an open vocabulary, those that were asked for.
        task: the behaviour that gave them: this one, or an open vocabulary's.
        track_id: `(n,)` int64, of a frame of a tracked video: the same for the same object, from 1; -1: of no track.
            None: not tracked.
    """

    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]
    task: str = TASK
    track_id: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        records.check_shapes(
            {
                "xyxy": (self.xyxy, (n, 4)),
                "confidence": (self.confidence, (n,)),
                "class_id": (self.class_id, (n,)),
                "track_id": (self.track_id, (n,)),
            }
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each box."""
        return records.names_of(self.class_id, self.class_names)

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back.

        The names of an open vocabulary stand in the record, since no model has them.
        """
        record = {**records.scored(self.task, self), "xyxy": records.numbers(self.xyxy)}
        record |= records.tracked(self.track_id)
        return record if self.task == TASK else {**record, "class_names": list(self.class_names)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> Detections:
        """The prediction that `to_record` wrote."""
        return cls(
            records.floats(record["xyxy"], -1, 4),
            *records.scores(record),
            records.image_hw(record),
            tuple(record.get("class_names", class_names)),
            record["task"],
            records.track_ids(record),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, with class names in its data.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return supervision_detections(self, self.xyxy)


PREDICTION = Detections
