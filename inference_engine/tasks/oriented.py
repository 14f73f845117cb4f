"""Oriented detection: boxes that may be turned, with a class and a confidence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes
from inference_engine.tasks.parts import records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.supervising import supervision_detections

TASK = "oriented-object-detection"


@dataclass(frozen=True, slots=True, eq=False)
class OrientedDetections:
    """Turned boxes of one image; its parameters are a detector's.

    Attributes:
        xywhr: `(n, 5)` float32: centre x, centre y, width, height in pixels of the original upright image, and the
            angle from the image's x axis to the box's width in radians, clockwise as the image is seen.
        confidence: `(n,)` float32 in [0, 1], descending.
        class_id: `(n,)` int64, index into the class names.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
    """

    xywhr: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        records.check_rows(self, len(self), xywhr=(5,), confidence=(), class_id=())

    def __len__(self) -> int:
        return len(self.xywhr)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each box."""
        return records.names_of(self.class_id, self.class_names)

    @property
    def corners(self) -> npt.NDArray[np.float32]:
        """`(n, 4, 2)` x and y of the corners, clockwise, from the upper left one of the box before it is turned."""
        half = self.xywhr[:, None, 2:4] / 2 * np.asarray([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float32)
        cos, sin = np.cos(self.xywhr[:, 4:]), np.sin(self.xywhr[:, 4:])
        turned = np.stack([half[..., 0] * cos - half[..., 1] * sin, half[..., 0] * sin + half[..., 1] * cos], axis=2)
        return (turned + self.xywhr[:, None, :2]).astype(np.float32, copy=False)

    @property
    def xyxy(self) -> Boxes:
        """`(n, 4)` the upright boxes around them, cut at the image's border."""
        corners, (height, width) = self.corners, self.image_hw
        around = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        clipped: Boxes = np.clip(around, 0, np.asarray((width, height) * 2, dtype=np.float32))
        return clipped

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back. `xyxy` is there for readers of upright boxes."""
        turned, upright = records.numbers(self.xywhr), records.numbers(self.xyxy)
        return {**records.scored(TASK, self), "xywhr": turned, "xyxy": upright}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> OrientedDetections:
        """The prediction that `to_record` wrote."""
        return cls(
            records.floats(record["xywhr"], -1, 5),
            *records.scores(record),
            records.image_hw(record),
            tuple(class_names),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections` with the corners in its data, where its `OrientedBoxAnnotator` looks for them.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return supervision_detections(self, self.xyxy, xyxyxyxy=self.corners)


PREDICTION = OrientedDetections
