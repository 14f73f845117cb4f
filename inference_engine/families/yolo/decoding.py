"""The head of YOLOv8- and YOLO11-style networks: boxes, their classes, and what a task adds to each.

Rows of `(n, 4 + classes + extra, anchors)` are centre x, centre y, width, height in network pixels, then one score a
class, already in [0, 1], then the task's own numbers (ultralytics 8.x, head of an export without NMS). A fused box is
x_min, y_min, x_max, y_max in network pixels, score, class id, and the task's own numbers (an export with NMS, or the
end-to-end head of YOLOv10 and YOLO26, `Detect.postprocess` in ultralytics/nn/modules/head.py); unused places have
score 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.candidates import BoxParams, Kept, keep_candidates, keep_suppressed
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.packages import ModelPackage


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
    check_head(heads, images, package, extra)
    if package.config.is_fused:
        return [keep_suppressed(head, package, params) for head in heads]
    return [_decode(head, package, params) for head in heads]


def check_head(heads: npt.NDArray[Any], images: int, package: ModelPackage, extra: int = 0) -> None:
    """Refuse a head that is not of the shape that the package's classes make.

    Raises:
        OutputInvalid: with both shapes.
    """
    if package.config.is_fused:
        columns = 6 + extra
        if heads.ndim != 3 or (len(heads), heads.shape[2]) != (images, columns):
            raise OutputInvalid(
                f"output of shape {heads.shape}, expected ({images}, boxes, {columns}): NMS is fused in"
            )
        return
    rows = 4 + package.network_class_count + extra
    if heads.ndim != 3 or heads.shape[:2] != (images, rows):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({images}, {rows}, anchors)")


def _decode(head: npt.NDArray[Any], package: ModelPackage, params: BoxParams) -> Kept | EngineError:
    boxes, scores, extra = np.split(head, [4, 4 + package.network_class_count])
    return keep_candidates(boxes.T, scores, extra.T, package, params)
