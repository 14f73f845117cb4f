"""YOLOv8- and YOLO11-style detectors: one output `(n, 4 + classes, anchors)`, or `(n, boxes, 6)` with NMS fused in.

Rows of the first are centre x, centre y, width, height in network pixels, then one score a class, already in [0, 1]
(ultralytics 8.x, detection head of an export without NMS). A fused box is x_min, y_min, x_max, y_max in network pixels,
score, class id (an export with NMS, or an end-to-end head as YOLOv10's); unused places have score 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners, suppress, top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.images import Fit, to_original
from inference_engine.model import Recipe, fitted
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections
from inference_engine.tasks.parts.parameters import class_thresholds


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    heads = next(iter(outputs.values()))
    if package.config.is_fused:
        if heads.ndim != 3 or (len(heads), heads.shape[2]) != (len(fits), 6):
            raise OutputInvalid(f"output of shape {heads.shape}, expected ({len(fits)}, boxes, 6): NMS is fused in")
        return [_decode_fused(head, fit, package, params) for head, fit in zip(heads, fits, strict=True)]
    rows = 4 + package.network_class_count
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
    anchors = np.flatnonzero(best >= class_thresholds(params, package.class_names).min())
    class_id, wanted = _reported(scores[:, anchors].argmax(axis=0), best[anchors], package, params)
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


def _decode_fused(
    rows: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> Detections | EngineError:
    """Boxes that the network suppressed itself: only thresholds, names and their number are left to do."""
    if not np.isfinite(rows).all():
        return OutputInvalid("the model gave boxes or scores that are not finite numbers for this image")
    # Unused places have score 0, which a threshold of 0 must not turn into boxes.
    rows = rows[rows[:, 4] > 0]
    network_id = rows[:, 5].astype(np.int64)
    if ((network_id < 0) | (network_id >= package.network_class_count)).any():
        return OutputInvalid(f"the model gave a class id outside of its {package.network_class_count} classes")
    class_id, wanted = _reported(network_id, rows[:, 4], package, params)
    rows, class_id = rows[wanted].astype(np.float32, copy=False), class_id[wanted]
    kept = top_k(rows[:, 4], params.max_detections)
    return Detections(
        to_original(rows[kept, :4], fit), rows[kept, 4], class_id[kept], fit.original_hw, package.class_names
    )


def _reported(
    network_id: npt.NDArray[Any], score: npt.NDArray[Any], package: ModelPackage, params: DetectionParams
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Class ids of results, and which of them are wanted: of a class that is reported, at or above its threshold."""
    class_id = np.asarray(package.reported_ids, dtype=np.int64)[network_id]
    return class_id, (class_id >= 0) & (score >= class_thresholds(params, package.class_names)[class_id])


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The detector's parameters, filled up from the package.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of a network that has done its own.
    """
    if package.config.is_fused and (
        late := [n for n in ("iou_threshold", "class_agnostic") if given.get(n) is not None]
    ):
        raise ParameterInvalid(f"{late[0]} cannot be changed: non-maximum suppression is fused into the network")
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


RECIPES = {detection.TASK: Recipe(fitted, postprocess, check_params)}
