"""Instance segmentation: boxes with a class, a confidence and a mask each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes
from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks.parts import records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.supervising import supervision_detections

TASK = "instance-segmentation"


@dataclass(frozen=True, slots=True, eq=False)
class InstanceDetections:
    """Boxes and masks of one image; its parameters are a detector's.

    Attributes:
        xyxy: `(n, 4)` float32, pixels of the original upright image, `x_min, y_min, x_max, y_max`.
        confidence: `(n,)` float32 in [0, 1], descending.
        class_id: `(n,)` int64, index into the class names.
        masks: n masks of the original image's size, run-length encoded.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
        track_id: `(n,)` int64, as of a detector's boxes.
    """

    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    masks: InstancesRLEMasks
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]
    track_id: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self)
        records.check_rows(self, n, xyxy=(4,), confidence=(), class_id=(), track_id=())
        records.check_masks(self.masks, n, self.image_hw)

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each instance."""
        return records.names_of(self.class_id, self.class_names)

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe, masks as COCO's RLE; `from_record` gives the same bits back."""
        masks = self.masks.to_coco()
        record = {**records.scored(TASK, self), "xyxy": records.numbers(self.xyxy), "masks": masks}
        return record | records.tracked(self.track_id)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> InstanceDetections:
        """The prediction that `to_record` wrote."""
        hw = records.image_hw(record)
        return cls(
            records.floats(record["xyxy"], -1, 4),
            *records.scores(record),
            InstancesRLEMasks.from_coco(record["masks"], hw),
            hw,
            tuple(class_names),
            records.track_ids(record),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections` with dense masks: `n x height x width` bytes.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return supervision_detections(self, self.xyxy, mask=self.masks.to_dense())


PREDICTION = InstanceDetections
