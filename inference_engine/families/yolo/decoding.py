"""The head of YOLOv8- and YOLO11-style networks: boxes, their classes, and what a task adds to each.

Rows of `(n, 4 + classes + extra, anchors)` are centre x, centre y, width, height in network pixels, then one score a
class, already in [0, 1], then the task's own numbers (ultralytics 8.x, head of an export without NMS). A fused box is
x_min, y_min, x_max, y_max in network pixels, score, class id, and the task's own numbers (an export with NMS, or an
end-to-end head as YOLOv10's); unused places have score 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners, suppress, top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.images import Boxes
from inference_engine.packages import ModelPackage
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams
from inference_engine.tasks.keypoints import KeyPointsParams
from inference_engine.tasks.parts.parameters import class_thresholds

#: Parameters of the tasks that have boxes.
BoxParams: TypeAlias = DetectionParams | KeyPointsParams


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Boxes of one image that are reported.

    Attributes:
        boxes: `(k, 4)` corners in network pixels.
        confidence: `(k,)` float32, descending.
        class_id: `(k,)` of results.
        extra: `(k, extra)` float32, the task's own numbers.
    """

    boxes: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    extra: npt.NDArray[np.float32]


def decode_heads(
    heads: npt.NDArray[Any], images: int, package: ModelPackage, params: BoxParams, extra: int = 0
) -> list[Kept | EngineError]:
    """Decode a batch, image by image.

    Args:
        images: in the batch.
        extra: numbers that the task has for each box.

    Raises:
        OutputInvalid: the head is not of the shape that the package's classes make.
    """
    if package.config.is_fused:
        columns = 6 + extra
        if heads.ndim != 3 or (len(heads), heads.shape[2]) != (images, columns):
            raise OutputInvalid(
                f"output of shape {heads.shape}, expected ({images}, boxes, {columns}): NMS is fused in"
            )
        return [_decode_fused(head, package, params) for head in heads]
    rows = 4 + package.network_class_count + extra
    if heads.ndim != 3 or heads.shape[:2] != (images, rows):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({images}, {rows}, anchors)")
    return [_decode(head, package, params) for head in heads]


def _decode(head: npt.NDArray[Any], package: ModelPackage, params: BoxParams) -> Kept | EngineError:
    scores, extra = np.split(head[4:], [package.network_class_count])
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
    return _checked(boxes[kept], confidence[kept], class_id[kept], extra[:, anchors[kept]].T)


def _decode_fused(rows: npt.NDArray[Any], package: ModelPackage, params: BoxParams) -> Kept | EngineError:
    """Boxes that the network suppressed itself: only thresholds, names and their number are left to do."""
    if not np.isfinite(rows[:, :6]).all():
        return OutputInvalid("the model gave boxes or scores that are not finite numbers for this image")
    # Unused places have score 0, which a threshold of 0 must not turn into boxes.
    rows = rows[rows[:, 4] > 0]
    network_id = rows[:, 5].astype(np.int64)
    if ((network_id < 0) | (network_id >= package.network_class_count)).any():
        return OutputInvalid(f"the model gave a class id outside of its {package.network_class_count} classes")
    class_id, wanted = _reported(network_id, rows[:, 4], package, params)
    rows, class_id = rows[wanted].astype(np.float32, copy=False), class_id[wanted]
    kept = top_k(rows[:, 4], params.max_detections)
    return _checked(rows[kept, :4], rows[kept, 4], class_id[kept], rows[kept, 6:])


def _checked(
    boxes: Boxes, confidence: npt.NDArray[np.float32], class_id: npt.NDArray[np.int64], extra: npt.NDArray[Any]
) -> Kept | EngineError:
    if not np.isfinite(extra).all():
        return OutputInvalid("the model gave numbers beside its boxes that are not finite for this image")
    return Kept(boxes, confidence, class_id, extra.astype(np.float32, copy=False))


def _reported(
    network_id: npt.NDArray[Any], score: npt.NDArray[Any], package: ModelPackage, params: BoxParams
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Class ids of results, and which of them are wanted: of a class that is reported, at or above its threshold."""
    class_id = np.asarray(package.reported_ids, dtype=np.int64)[network_id]
    return class_id, (class_id >= 0) & (score >= class_thresholds(params, package.class_names)[class_id])


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The detector's parameters, filled up from the package.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of a network that has done its own.
    """
    check_fused(given, package)
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


def check_fused(given: Mapping[str, Any], package: ModelPackage) -> None:
    """Refuse to suppress otherwise what the network has suppressed itself."""
    if package.config.is_fused and (
        late := [n for n in ("iou_threshold", "class_agnostic") if given.get(n) is not None]
    ):
        raise ParameterInvalid(f"{late[0]} cannot be changed: non-maximum suppression is fused into the network")
