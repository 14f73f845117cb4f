"""What pipelines share that look twice: boxes are found, cut out of their pictures, and all cuts go on together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from typing import Any

import numpy as np

from inference_engine.config_fields import is_number
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.images import Boxes, Image
from inference_engine.inputs import as_rgb_images
from inference_engine.interfaces import ObjectDetectionModel
from inference_engine.tasks.detection import Detections


def detect_and_cut(
    detector: ObjectDetectionModel,
    images: Any,
    input_color_format: str | None,
    margin: float,
    params: Mapping[str, Any] | None,
) -> tuple[Sequence[Detections], list[Image]]:
    """What is found in each picture, and the cuts of all boxes of all pictures, in order, RGB.

    Args:
        images: see `VisionModel.__call__`.
        margin: what is cut out beyond each side of a box, as a share of its width and height, 0 to 1.
        params: the detector's own.

    Raises:
        ParameterInvalid: the margin is out of range; or what the detector raises.
        OutputInvalid: the detector did not give one prediction of its kind for each picture.
    """
    if not is_number(margin) or not 0 <= margin <= 1:
        raise ParameterInvalid(f"margin must be a number from 0 to 1, found {margin!r}")
    rgb = as_rgb_images(images, input_color_format)
    found = checked(detector(rgb, input_color_format="rgb", **(params or {})), Detections, len(rgb))
    return found, [cut for image, boxes in zip(rgb, found, strict=True) for cut in cut_out(image, boxes.xyxy, margin)]


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


def close_all(models: Iterable[Any]) -> None:
    """Close models as far as they can be closed: a package's own class need not have `close`."""
    for model in models:
        if callable(close := getattr(model, "close", None)):
            close()
