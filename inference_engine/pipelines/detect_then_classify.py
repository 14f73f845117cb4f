"""A detector finds boxes, a classifier says of each what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.config_fields import is_number
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.images import Boxes, Image
from inference_engine.inputs import as_rgb_images
from inference_engine.interfaces import ClassificationModel, ObjectDetectionModel
from inference_engine.roles import Role
from inference_engine.tasks import classification, detection
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.parts import records

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
        if not is_number(margin) or not 0 <= margin <= 1:
            raise ParameterInvalid(f"margin must be a number from 0 to 1, found {margin!r}")
        rgb = as_rgb_images(images, input_color_format)
        found = checked(self.detector(rgb, input_color_format="rgb", **(detector or {})), Detections, len(rgb))
        cuts = [cut for image, boxes in zip(rgb, found, strict=True) for cut in cut_out(image, boxes.xyxy, margin)]
        # One call for all: the classifier fills its batches across boxes and images. It is not asked about nothing.
        told = self.classifier(cuts, input_color_format="rgb", **(classifier or {})) if cuts else []
        labels = iter(checked(told, ClassificationPrediction, len(cuts)))
        names = tuple(self.classifier.class_names)
        return [_labelled(boxes, labels, names) for boxes in found]

    def close(self) -> None:
        """Close both models, as far as they can be closed."""
        for model in (self.detector, self.classifier):
            if callable(close := getattr(model, "close", None)):
                close()


def make(models: Mapping[str, Any]) -> DetectThenClassify:
    """The pipeline of a detector and a classifier."""
    return DetectThenClassify(models["detector"], models["classifier"])


def cut_out(image: Image, xyxy: Boxes, margin: float) -> list[Image]:
    """Views of the image, one a box: widened by the margin, to whole pixels, clipped, at least one pixel each way.

    Args:
        xyxy: `(n, 4)`, pixels of the image.
    """
    height, width = image.shape[:2]
    extra = (xyxy[:, 2:] - xyxy[:, :2]).clip(min=0) * np.float32(margin)
    wide = np.concatenate([xyxy[:, :2] - extra, xyxy[:, 2:] + extra], axis=1)
    cuts = []
    for x_min, y_min, x_max, y_max in wide.tolist():
        left, right = _span(x_min, x_max, width)
        top, bottom = _span(y_min, y_max, height)
        cuts.append(image[top:bottom, left:right])
    return cuts


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """Whole pixels that touch what lies between, on the picture."""
    start = min(max(floor(low), 0), size - 1)
    return start, max(min(ceil(high), size), start + 1)


def checked(given: Any, kind: type, count: int) -> Sequence[Any]:
    """What a model gave, one prediction of its kind a picture.

    Raises:
        OutputInvalid: it gave something else.
    """
    if not isinstance(given, list | tuple) or len(given) != count or not all(isinstance(one, kind) for one in given):
        raise OutputInvalid(f"expected {count} predictions of type {kind.__name__}, found {given!r:.200}")
    return given


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
