"""Top-down key points in Hugging Face format: `heatmaps (n, boxes, points, h, w)` of the boxes that a call names.

ViTPose (arXiv 2204.12484); `hf_poses` cuts the boxes out and reads the heat maps. Without boxes the whole picture is
one. A pose is as sure as its points are on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import top_k
from inference_engine.config_fields import is_number
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.hf_architectures import PIXELS
from inference_engine.hf_folder import settings_of
from inference_engine.hf_pixels import normalised
from inference_engine.hf_poses import cut_out, cut_region, decoded
from inference_engine.images import Boxes, Fit, Image
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import keypoints
from inference_engine.tasks.keypoints import KeyPoints
from inference_engine.tasks.parts import parameters

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PoseParams:
    """What a call or a job may ask of a model that poses boxes.

    Attributes:
        boxes: `x_min, y_min, x_max, y_max` in pixels of the original upright image; None: the whole picture.
        confidence: lowest mean confidence of a pose that is kept, 0 to 1.
        key_points_threshold: points below it are reported all the same, and `is_sure` is false for them.
    """

    boxes: tuple[Box, ...] | None
    confidence: float
    key_points_threshold: float


def check_params(given: Mapping[str, Any], package: ModelPackage) -> PoseParams:
    """Check what was given, and fill up.

    Raises:
        ParameterInvalid: a name is unknown, or a value is wrong.
    """
    parameters.check_names(given, PoseParams, "a model that poses boxes")
    said = given.get("confidence")
    confidence = said if said is not None else package.recommended.confidence
    threshold = given.get("key_points_threshold")
    return PoseParams(
        _boxes(given.get("boxes")),
        parameters.share(0.0 if confidence is None else confidence, "confidence"),
        parameters.share(0.0 if threshold is None else threshold, "key_points_threshold"),
    )


def prepare(image: Image, package: ModelPackage, params: PoseParams | None) -> tuple[Tensors, Fit]:
    """The boxes' parts of the picture, `(1, boxes, 3, height, width)`."""
    steps, hw = settings_of(package).steps, package.config.network_input.hw
    fit = Fit((1.0, 1.0), (0, 0), (image.shape[0], image.shape[1]))
    cuts = [cut_out(image, *cut_region(box, hw), hw) for box in _posed(params, fit)]
    return {PIXELS: np.stack([normalised(cut, steps) for cut in cuts])[None]}, fit


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: PoseParams
) -> list[KeyPoints | EngineError]:
    """Read the heat maps of a batch, image by image."""
    (maps,) = outputs.values()
    points = len(package.skeletons[0].names)
    if maps.ndim != 5 or (len(maps), maps.shape[2]) != (len(fits), points):
        raise OutputInvalid(f"heat maps of shape {maps.shape}, expected ({len(fits)}, boxes, {points}, h, w)")
    return [_poses(each, fit, package, params) for each, fit in zip(maps, fits, strict=True)]


def _poses(maps: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: PoseParams) -> KeyPoints | EngineError:
    if not np.isfinite(maps).all():
        return OutputInvalid("the model gave numbers that are not finite for this image")
    boxes = _posed(params, fit)
    if len(boxes) != len(maps):
        raise OutputInvalid(f"heat maps of {len(maps)} boxes, {len(boxes)} were asked for")
    found = [
        decoded(each.astype(np.float32, copy=False), *cut_region(box, package.config.network_input.hw))
        for each, box in zip(maps, boxes, strict=True)
    ]
    points = np.stack([xy for xy, _ in found])
    sure = np.stack([scores for _, scores in found])
    confidence = sure.mean(axis=1, dtype=np.float32)
    kept = np.flatnonzero(confidence >= np.float32(params.confidence))
    kept = kept[top_k(confidence[kept], None)]
    height, width = fit.original_hw
    return KeyPoints(
        points[kept],
        sure[kept],
        np.clip(boxes[kept], 0, np.asarray((width, height) * 2, dtype=np.float32)),
        confidence[kept],
        np.zeros(len(kept), dtype=np.int64),
        fit.original_hw,
        package.class_names,
        package.skeletons,
        params.key_points_threshold,
    )


def _posed(params: PoseParams | None, fit: Fit) -> Boxes:
    """`(n, 4)`: the boxes that a call names, or the one around the picture."""
    height, width = fit.original_hw
    named = params.boxes if params and params.boxes is not None else ((0.0, 0.0, float(width), float(height)),)
    return np.asarray(named, dtype=np.float32)


def _boxes(value: Any) -> tuple[Box, ...] | None:
    if value is None:
        return None
    rows = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(rows, list | tuple) or not rows or not all(_is_box(row) for row in rows):
        raise ParameterInvalid(
            f"boxes must be a list of [x_min, y_min, x_max, y_max] in pixels, each of some width and height, found "
            f"{value!r:.200}"
        )
    return tuple((float(x_min), float(y_min), float(x_max), float(y_max)) for x_min, y_min, x_max, y_max in rows)


def _is_box(row: Any) -> bool:
    if not isinstance(row, list | tuple) or len(row) != 4 or not all(is_number(value) for value in row):
        return False
    return bool(np.isfinite(row).all()) and row[0] < row[2] and row[1] < row[3]


RECIPES = {
    keypoints.TASK: Recipe(lambda image, package: prepare(image, package, None), postprocess, check_params, prepare)
}
