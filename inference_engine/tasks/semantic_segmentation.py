"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drawing.planes import read_plane
from inference_engine.tasks.parts import blobs, parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.supervising import import_supervision

TASK = "semantic-segmentation"


@dataclass(frozen=True, slots=True)
class SemanticSegmentationParams:
    """What a call or a job may ask of a model that labels pixels.

    Attributes:
        confidence: pixels below it become the class `background`, 0 to 1; 0 keeps every pixel's best class.
        with_confidence: keep each pixel's confidence too.
    """

    confidence: float = 0.0
    with_confidence: bool = False


def semantic_segmentation_params(given: Mapping[str, Any]) -> SemanticSegmentationParams:
    """Check what was given.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, SemanticSegmentationParams, "semantic segmentation")
    confidence, kept = given.get("confidence"), given.get("with_confidence")
    return SemanticSegmentationParams(
        parameters.share(0.0 if confidence is None else confidence, "confidence"),
        parameters.flag(False if kept is None else kept, "with_confidence"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class SemanticSegmentationResult:
    """The class of every pixel of one image.

    Attributes:
        segmentation_map: `(H, W)` uint8 or uint16, index into the class names, of the original upright image.
        class_names: of the whole model.
        confidence_255: `(H, W)` uint8, confidence in 255ths, which is what is stored; None where not asked for.
    """

    segmentation_map: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    class_names: tuple[str, ...]
    confidence_255: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        labels, confidence = self.segmentation_map, self.confidence_255
        if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16) or not labels.size:
            raise ValueError(f"expected a map (H, W) uint8 or uint16, found {labels.shape} {labels.dtype}")
        if (highest := int(labels.max())) >= len(self.class_names):
            raise ValueError(f"the map has class id {highest}, and there are {len(self.class_names)} class names")
        if confidence is not None and (confidence.shape, confidence.dtype) != (labels.shape, np.dtype(np.uint8)):
            raise ValueError(f"expected confidence {labels.shape} uint8, found {confidence.shape} {confidence.dtype}")

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the original image in pixels."""
        height, width = self.segmentation_map.shape
        return height, width

    @property
    def confidence(self) -> npt.NDArray[np.float32] | None:
        """`(H, W)` float32 in [0, 1]; None where not asked for."""
        return None if self.confidence_255 is None else self.confidence_255.astype(np.float32) / np.float32(255)

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe: the classes that are there and their pixels; the map itself is the blob."""
        counts = np.bincount(self.segmentation_map.reshape(-1))
        there = np.flatnonzero(counts)
        return {
            "task": TASK,
            "image_hw": list(self.image_hw),
            "class_id": there.tolist(),
            "class_name": records.names_of(there, self.class_names),
            "pixels": counts[there].tolist(),
            "with_confidence": self.confidence_255 is not None,
        }

    def to_blob(self) -> bytes:
        """The map as a grey PNG of its 8 or 16 bits; the confidence, where it is kept, stands below it."""
        if self.confidence_255 is None:
            return blobs.encode_png(self.segmentation_map)
        below = self.confidence_255.astype(self.segmentation_map.dtype)
        return blobs.encode_png(np.concatenate([self.segmentation_map, below]))

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any], class_names: Sequence[str], blob: bytes
    ) -> SemanticSegmentationResult:
        """The prediction that `to_record` and `to_blob` wrote, every pixel the same."""
        height, width = records.image_hw(record)
        is_double = record["with_confidence"]
        plane = read_plane(blob, (height * (1 + is_double), width))
        return cls(plane[:height], tuple(class_names), plane[height:].astype(np.uint8) if is_double else None)

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, one a class that is there, with a dense mask each.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        supervision = import_supervision()
        there = np.unique(self.segmentation_map).astype(int)
        masks = self.segmentation_map[None] == there[:, None, None]
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(masks).astype(np.float32),
            mask=masks,
            class_id=there,
            data={"class_name": np.asarray(records.names_of(there, self.class_names), dtype=str)},
        )


PREDICTION = SemanticSegmentationResult
