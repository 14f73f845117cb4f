"""Depth estimation: how far every pixel is, or how near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from drawing.planes import read_plane
from inference_engine.tasks.parts import blobs, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.supervising import import_supervision

TASK = "depth-estimation"

#: Largest number of a 16-bit PNG.
_STEPS = 65535


class DepthUnit(StrEnum):
    """What the numbers of a map say."""

    METRES = "metres"  # distance from the camera
    RELATIVE_INVERSE = "relative-inverse"  # larger is nearer; only the order and the ratios of one image count


@dataclass(frozen=True, slots=True, eq=False)
class DepthMap:
    """The depth of every pixel of one image; a call has no parameters.

    Attributes:
        depth: `(H, W)` float32, finite, of the original upright image.
        unit: what the numbers say.
    """

    depth: npt.NDArray[np.float32]
    unit: DepthUnit

    def __post_init__(self) -> None:
        if self.depth.ndim != 2 or self.depth.dtype != np.float32 or not self.depth.size:
            raise ValueError(f"expected a map (H, W) float32, found {self.depth.shape} {self.depth.dtype}")
        if not np.isfinite(self.depth).all():
            raise ValueError("a depth map has numbers that are not finite")

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the original image in pixels."""
        height, width = self.depth.shape
        return height, width

    def _range(self) -> tuple[float, float]:
        return float(self.depth.min()), float(self.depth.max())

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe: what the blob's steps stand for."""
        low, high = records.numbers(np.asarray(self._range(), dtype=np.float32))
        return {"task": TASK, "image_hw": list(self.image_hw), "unit": self.unit.value, "low": low, "high": high}

    def to_blob(self) -> bytes:
        """A grey PNG of 16 bits: `depth = low + value / 65535 * (high - low)`.

        The lowest and the highest depth come back exactly, every other within half a step of the image's range, which
        is 0.15 mm of 20 m. Written and read again, what came back is the same bits.
        """
        low, high = self._range()
        share = (self.depth.astype(np.float64) - low) / ((high - low) or 1.0)
        return blobs.encode_png(np.rint(share * _STEPS).astype(np.uint16))

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str], blob: bytes) -> DepthMap:  # noqa: ARG003 (as every task's)
        """The prediction that `to_record` and `to_blob` wrote, to 65,536 steps."""
        steps = read_plane(blob, records.image_hw(record))
        low, high = record["low"], record["high"]
        depth = (low + steps.astype(np.float64) / _STEPS * (high - low)).astype(np.float32)
        return cls(depth, DepthUnit(record["unit"]))

    def to_supervision(self) -> Any:
        """As `supervision.DepthMap`.

        Raises:
            ImportError: `supervision` is not installed, or too old; `pip install "nightshift[viz]"`.
        """
        supervision = import_supervision()
        if not hasattr(supervision, "DepthMap"):
            raise ImportError(f"supervision {supervision.__version__} has no depth maps: install a newer one")
        kinds = {DepthUnit.METRES: "depth_m", DepthUnit.RELATIVE_INVERSE: "relative_inverse"}
        return supervision.DepthMap(self.depth, kind=kinds[self.unit])


PREDICTION = DepthMap
