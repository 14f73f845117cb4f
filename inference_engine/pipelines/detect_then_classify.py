"""A detector finds boxes, a classifier says of each what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.cutting import checked, close_all, detect_and_cut
from inference_engine.interfaces import ClassificationModel, ObjectDetectionModel
from inference_engine.roles import Role
from inference_engine.tasks import classification, detection
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.parts import records
from inference_engine.tasks.parts.drawing import Image, draw_prediction

ROLES = {
    "detector": Role(ObjectDetectionModel, detection.TASK),
    "classifier": Role(ClassificationModel, classification.TASK),
}
TASK = "detect-then-classify"


@dataclass(frozen=True, slots=True, eq=False)
class ClassifiedDetections:
    """Boxes of one image, and of each what the classifier says.

    Attributes:
        detections: as the detector gave them.
        label_id: `(n,)` int64, index into `label_names`; -1 where the classifier was not sure enough of any.
        label_confidence: `(n,)` float32 in [0, 1]; 0 where there is no label.
        label_names: classes of the classifier.
    """

    detections: Detections
    label_id: npt.NDArray[np.int64]
    label_confidence: npt.NDArray[np.float32]
    label_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.detections)

    @property
    def labels(self) -> list[str | None]:
        """The classifier's name for each box; None where it was not sure enough."""
        return [self.label_names[index] if index >= 0 else None for index in self.label_id]

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe: the detector's record, and a label with its confidence for each box."""
        return {
            "task": TASK,
            "image_hw": list(self.detections.image_hw),
            "detections": self.detections.to_record(),
            "label_id": self.label_id.tolist(),
            "label": self.labels,
            "label_confidence": records.numbers(self.label_confidence),
        }

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any], class_names: Sequence[str], label_names: Sequence[str]
    ) -> ClassifiedDetections:
        """The prediction that `to_record` wrote; names of the detector's classes, and of the classifier's."""
        return cls(
            Detections.from_record(record["detections"], class_names),
            records.ids(record["label_id"]),
            records.floats(record["label_confidence"], -1),
            tuple(label_names),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, with `label` and `label_confidence` in its data.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        drawn = self.detections.to_supervision()
        drawn.data["label"] = np.asarray([label or "" for label in self.labels], dtype=str)
        drawn.data["label_confidence"] = self.label_confidence
        return drawn


class DetectThenClassify:
    """The pipeline; `models` are the detector and the classifier."""

    def __init__(self, detector: ObjectDetectionModel, classifier: ClassificationModel) -> None:
        self.detector, self.classifier = detector, classifier

    def __call__(
        self,
        images: Any,
        *,
        input_color_format: str | None = None,
        margin: float = 0.0,
        detector: Mapping[str, Any] | None = None,
        classifier: Mapping[str, Any] | None = None,
    ) -> list[ClassifiedDetections]:
        """Detect, cut each box out, classify all cuts of all images together.

        Args:
            images: see `VisionModel.__call__`.
            margin: what is cut out beyond each side of a box, as a share of its width and height, 0 to 1.
            detector: the detector's own parameters.
            classifier: the classifier's own parameters.

        Returns:
            One an image, in order.

        Raises:
            ParameterInvalid: the margin is out of range; or what the models raise.
            OutputInvalid: a model did not give one prediction of its kind for each picture.
        """
        found, cuts = detect_and_cut(self.detector, images, input_color_format, margin, detector)
        # One call for all: the classifier fills its batches across boxes and images. It is not asked about nothing.
        told = self.classifier(cuts, input_color_format="rgb", **(classifier or {})) if cuts else []
        labels = iter(checked(told, ClassificationPrediction, len(cuts)))
        names = tuple(self.classifier.class_names)
        return [_labelled(boxes, labels, names) for boxes in found]

    def close(self) -> None:
        """Close both models, as far as they can be closed."""
        close_all((self.detector, self.classifier))


def make(models: Mapping[str, Any]) -> DetectThenClassify:
    """The pipeline of a detector and a classifier."""
    return DetectThenClassify(models["detector"], models["classifier"])


def _labelled(
    boxes: Detections, labels: Iterator[ClassificationPrediction], names: tuple[str, ...]
) -> ClassifiedDetections:
    told = [next(labels) for _ in range(len(boxes))]
    best = [(int(label.class_id[0]), float(label.confidence[0])) if len(label) else (-1, 0.0) for label in told]
    return ClassifiedDetections(
        boxes,
        np.asarray([index for index, _ in best], dtype=np.int64),
        np.asarray([confidence for _, confidence in best], dtype=np.float32),
        names,
    )
