"""A detector finds boxes, a model of poses says where the points of each are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inference_engine.cutting import checked, close_all
from inference_engine.inputs import as_rgb_images
from inference_engine.interfaces import KeyPointsDetectionModel, ObjectDetectionModel
from inference_engine.roles import Role
from inference_engine.tasks import detection, keypoints
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.keypoints import KeyPoints

ROLES = {
    "detector": Role(ObjectDetectionModel, detection.TASK),
    "poser": Role(KeyPointsDetectionModel, keypoints.TASK),
}


class DetectThenPose:
    """The pipeline; `models` are the detector and a model that poses `boxes`."""

    def __init__(self, detector: ObjectDetectionModel, poser: KeyPointsDetectionModel) -> None:
        self.detector, self.poser = detector, poser

    def __call__(
        self,
        images: Any,
        *,
        input_color_format: str | None = None,
        detector: Mapping[str, Any] | None = None,
        poser: Mapping[str, Any] | None = None,
    ) -> list[KeyPoints]:
        """Detect, then pose the boxes of each image.

        Args:
            images: see `VisionModel.__call__`.
            detector: the detector's own parameters, such as the one class that has poses.
            poser: the model's own parameters, but for its boxes.

        Returns:
            One an image, in order; its boxes are the detector's, as sure as their points are on average.

        Raises:
            ParameterInvalid: or what else the models raise.
            OutputInvalid: a model did not give one prediction of its kind for each picture.
        """
        rgb = as_rgb_images(images, input_color_format)
        found = checked(self.detector(rgb, input_color_format="rgb", **(detector or {})), Detections, len(rgb))
        return [self._posed(image, boxes, poser or {}) for image, boxes in zip(rgb, found, strict=True)]

    def close(self) -> None:
        """Close both models, as far as they can be closed."""
        close_all((self.detector, self.poser))

    def _posed(self, image: Any, found: Detections, params: Mapping[str, Any]) -> KeyPoints:
        sides = found.xyxy[:, 2:] - found.xyxy[:, :2]
        boxes = found.xyxy[(sides > 0).all(axis=1)].tolist()
        if not boxes:  # it is not asked about nothing: without boxes it would pose the whole picture
            return self._nothing(found.image_hw)
        (posed,) = checked(self.poser([image], input_color_format="rgb", boxes=boxes, **params), KeyPoints, 1)
        return posed  # type: ignore[no-any-return]

    def _nothing(self, image_hw: tuple[int, int]) -> KeyPoints:
        skeletons = tuple(self.poser.skeletons)
        points = max(len(skeleton.names) for skeleton in skeletons)
        return KeyPoints(
            np.zeros((0, points, 2), dtype=np.float32),
            np.zeros((0, points), dtype=np.float32),
            np.zeros((0, 4), dtype=np.float32),
            np.zeros(0, dtype=np.float32),
            np.zeros(0, dtype=np.int64),
            image_hw,
            tuple(self.poser.class_names),
            skeletons,
        )


def make(models: Mapping[str, Any]) -> DetectThenPose:
    """The pipeline of a detector and a model of poses."""
    return DetectThenPose(models["detector"], models["poser"])
