"""Panoptic segmentation: each pixel is of one segment at most, of a thing that is counted or stuff that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.masks import InstancesRLEMasks
from inference_engine.recommended import Recommended
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.parameters import ByClass
from inference_engine.tasks.parts.supervising import supervision_detections

TASK = "panoptic-segmentation"


@dataclass(frozen=True, slots=True)
class PanopticSegmentationParams:
    """What a call or a job may ask of a model that divides a picture into segments.

    Attributes:
        confidence: lowest score of a segment that takes part, 0 to 1.
        mask_threshold: how sure a mask must be of a pixel for the pixel to count as the mask's own, 0 to 1.
        overlap_threshold: a segment of which the others leave no more than this share is dropped, 0 to 1.
        stuff_classes: classes of which a picture has one segment at most, all of their masks together.
        classes: names that are kept when the picture is divided already; None keeps all.
        per_class_confidence: thresholds of single classes; passed as a mapping of names to numbers.
    """

    confidence: float
    mask_threshold: float
    overlap_threshold: float
    stuff_classes: tuple[str, ...]
    classes: tuple[str, ...] | None = None
    per_class_confidence: ByClass = ()


def panoptic_segmentation_params(
    given: Mapping[str, Any],
    class_names: Sequence[str],
    recommended: Recommended = Recommended(),  # noqa: B008 (frozen)
    *,
    confidence: float = 0.5,
    stuff_classes: tuple[str, ...] = (),
) -> PanopticSegmentationParams:
    """Check what was given, and fill up.

    Args:
        confidence: where neither the call nor the package says one.
        stuff_classes: where the call names none.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, PanopticSegmentationParams, "panoptic segmentation")
    mask, overlap = given.get("mask_threshold"), given.get("overlap_threshold")
    said = given.get("stuff_classes")
    # An empty list is an answer: nothing is stuff.
    named = () if said == [] else parameters.class_filter(said, class_names, "stuff_classes")
    return PanopticSegmentationParams(
        **parameters.score_params(given, confidence, class_names, recommended),
        mask_threshold=parameters.share(0.5 if mask is None else mask, "mask_threshold"),
        overlap_threshold=parameters.share(0.8 if overlap is None else overlap, "overlap_threshold"),
        stuff_classes=stuff_classes if named is None else named,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PanopticSegments:
    """Segments of one image; no two of them have a pixel in common.

    Attributes:
        confidence: `(n,)` float32 in [0, 1], descending; of stuff, that of its surest part.
        class_id: `(n,)` int64, index into the class names.
        is_thing: `(n,)` bool, whether a segment is one of several that its class may have.
        masks: n masks of the original image's size, run-length encoded.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
    """

    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    is_thing: npt.NDArray[np.bool_]
    masks: InstancesRLEMasks
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.confidence)
        records.check_rows(self, n, confidence=(), class_id=(), is_thing=())
        records.check_masks(self.masks, n, self.image_hw)

    def __len__(self) -> int:
        return len(self.confidence)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each segment."""
        return records.names_of(self.class_id, self.class_names)

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe, masks as COCO's RLE; `from_record` gives the same bits back."""
        return {**records.scored(TASK, self), "is_thing": self.is_thing.tolist(), "masks": self.masks.to_coco()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> PanopticSegments:
        """The prediction that `to_record` wrote."""
        hw = records.image_hw(record)
        return cls(
            *records.scores(record),
            np.asarray(record["is_thing"], dtype=np.bool_).reshape(-1),
            InstancesRLEMasks.from_coco(record["masks"], hw),
            hw,
            tuple(class_names),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections` with dense masks and `is_thing` in its data: `n x height x width` bytes.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return supervision_detections(self, self.masks.xyxy(), mask=self.masks.to_dense(), is_thing=self.is_thing)


PREDICTION = PanopticSegments
