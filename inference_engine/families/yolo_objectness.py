"""YOLOv5- and YOLOv7-style networks: a head `(n, anchors, 5 + classes + extra)`, or rows with NMS fused in.

Columns are centre x, centre y, width, height in network pixels, objectness, then one score a class, all scores already
in [0, 1] (`Detect` in models/yolo.py of ultralytics/yolov5 and of WongKinYiu/yolov7), then the coefficients of masks
(`Segment` in models/yolo.py of ultralytics/yolov5 7.0). A box's score is objectness times class score: without the
first factor, background that looks like a class would score as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.candidates import BoxParams, Kept, keep_candidates
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo import RECIPES as YOLO
from inference_engine.families.yolo.detection import detections
from inference_engine.families.yolo.segmentation import head_and_prototypes, instances
from inference_engine.images import Fit
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection, instance_segmentation
from inference_engine.tasks.detection import DetectionParams, Detections
from inference_engine.tasks.instance_segmentation import InstanceDetections

_DETECTOR, _SEGMENTER = YOLO[detection.TASK], YOLO[instance_segmentation.TASK]


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    if package.config.is_fused:
        return _DETECTOR.postprocess(outputs, fits, package, params)
    found = decode_heads(next(iter(outputs.values())), len(fits), package, params)
    return [detections(kept, fit, package) for kept, fit in zip(found, fits, strict=True)]


def segment(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[InstanceDetections | EngineError]:
    """Decode a batch of heads and prototypes, image by image."""
    if package.config.is_fused:
        return _SEGMENTER.postprocess(outputs, fits, package, params)
    heads, prototypes = head_and_prototypes(outputs, len(fits))
    found = decode_heads(heads, len(fits), package, params, extra=prototypes.shape[1])
    return [instances(*each, package) for each in zip(found, prototypes, fits, strict=True)]


def decode_heads(
    heads: npt.NDArray[Any], images: int, package: ModelPackage, params: BoxParams, extra: int = 0
) -> list[Kept | EngineError]:
    """Decode a batch of heads without NMS, image by image.

    Raises:
        OutputInvalid: the head is not of the shape that the package's classes make.
    """
    columns = 5 + package.network_class_count + extra
    if heads.ndim != 3 or (len(heads), heads.shape[2]) != (images, columns):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({images}, anchors, {columns})")
    return [_decode(head, package, params) for head in heads]


def _decode(head: npt.NDArray[Any], package: ModelPackage, params: BoxParams) -> Kept | EngineError:
    boxes, objectness, scores, extra = np.split(head, [4, 5, 5 + package.network_class_count], axis=1)
    return keep_candidates(boxes, (objectness * scores).T, extra, package, params)


RECIPES = {
    detection.TASK: Recipe(_DETECTOR.preprocess, postprocess, _DETECTOR.check_params),
    instance_segmentation.TASK: Recipe(_SEGMENTER.preprocess, segment, _SEGMENTER.check_params),
}
