"""YOLOv8- and YOLO11-style detectors: one output `(n, 4 + classes, anchors)`.

Rows are centre x, centre y, width, height in network pixels, then one score a class, already in [0, 1]
(ultralytics 8.x, detection head of an export without NMS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners, suppress
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.images import Fit, Image, to_network, to_original
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections


def preprocess(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """Fit the picture into the network's input."""
    pixels, fit = to_network(image, package.config.network_input)
    return {"images": pixels}, fit


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    heads = next(iter(outputs.values()))
    rows = 4 + len(package.class_names)
    if heads.ndim != 3 or heads.shape[:2] != (len(fits), rows):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({len(fits)}, {rows}, anchors)")
    return [_decode(head, fit, package, params) for head, fit in zip(heads, fits, strict=True)]


def _decode(
    head: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> Detections | EngineError:
    scores = head[4:]
    best = scores.max(axis=0)
    # One comparison finds NaN too, which every comparison with a threshold would hide.
    if not np.isfinite(best).all():
        return OutputInvalid("the model gave scores that are not finite numbers for this image")
    anchors = np.flatnonzero(best >= params.confidence)
    class_id = scores[:, anchors].argmax(axis=0).astype(np.int64)
    if params.classes is not None:
        wanted = np.isin(class_id, [package.class_names.index(name) for name in params.classes])
        anchors, class_id = anchors[wanted], class_id[wanted]
    boxes = centre_to_corners(head[:4, anchors].T.astype(np.float32, copy=False))
    if not np.isfinite(boxes).all():
        return OutputInvalid("the model gave boxes that are not finite numbers for this image")
    confidence = best[anchors].astype(np.float32, copy=False)
    kept = suppress(
        boxes,
        confidence,
        class_id,
        iou_threshold=params.iou_threshold,
        class_agnostic=params.class_agnostic,
        limit=params.max_detections,
    )
    return Detections(
        to_original(boxes[kept], fit), confidence[kept], class_id[kept], fit.original_hw, package.class_names
    )


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The detector's parameters, filled up from the package."""
    return detection.detection_params(given, package.config.nms, package.class_names)


RECIPES = {detection.TASK: Recipe(preprocess, postprocess, check_params)}
