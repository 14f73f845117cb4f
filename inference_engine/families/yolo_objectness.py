"""YOLOv5- and YOLOv7-style detectors: one output `(n, anchors, 5 + classes)`, or `(n, boxes, 6)` with NMS fused in.

Columns are centre x, centre y, width, height in network pixels, objectness, then one score a class, all scores already
in [0, 1] (`Detect` in models/yolo.py of ultralytics/yolov5 and of WongKinYiu/yolov7). A box's score is objectness times
class score: without the first factor, background that looks like a class would score as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo import RECIPES as YOLO
from inference_engine.images import Fit
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections

_DETECTOR = YOLO[detection.TASK]


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image, as heads without an objectness once it is multiplied in."""
    if package.config.is_fused:
        return _DETECTOR.postprocess(outputs, fits, package, params)
    heads: npt.NDArray[Any] = next(iter(outputs.values()))
    columns = 5 + package.network_class_count
    if heads.ndim != 3 or (len(heads), heads.shape[2]) != (len(fits), columns):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({len(fits)}, anchors, {columns})")
    plain = np.concatenate([heads[..., :4], heads[..., 4:5] * heads[..., 5:]], axis=2)
    return _DETECTOR.postprocess({"output0": plain.transpose(0, 2, 1)}, fits, package, params)


RECIPES = {detection.TASK: Recipe(_DETECTOR.preprocess, postprocess, _DETECTOR.check_params)}
