"""YOLOv5- and YOLOv7-style detectors: one output `(n, anchors, 5 + classes)`, or `(n, boxes, 6)` with NMS fused in.

Columns are centre x, centre y, width, height in network pixels, objectness, then one score a class, all scores already
in [0, 1] (`Detect` in models/yolo.py of ultralytics/yolov5 and of WongKinYiu/yolov7). A box's score is objectness times
class score: without the first factor, background that looks like a class would score as one.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo import check_params, decode_dense
from inference_engine.families.yolo import postprocess as postprocess_fused
from inference_engine.images import Fit
from inference_engine.model import Recipe, fitted
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    if package.config.is_fused:
        return postprocess_fused(outputs, fits, package, params)
    heads = next(iter(outputs.values()))
    columns = 5 + package.network_class_count
    if heads.ndim != 3 or (len(heads), heads.shape[2]) != (len(fits), columns):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({len(fits)}, anchors, {columns})")
    return [
        decode_dense(head[:, :4].T, (head[:, 4:5] * head[:, 5:]).T, fit, package, params)
        for head, fit in zip(heads, fits, strict=True)
    ]


RECIPES = {detection.TASK: Recipe(fitted, postprocess, check_params)}
