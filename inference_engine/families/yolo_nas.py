"""YOLO-NAS: boxes `(n, anchors, 4)` as corners in network pixels, scores `(n, anchors, classes)`, or rows with NMS.

The scores are in [0, 1] already (`NDFLHeads` of Deci-AI/super-gradients 3.x, whose export without NMS gives its decoded
predictions in this order).
"""

from __future__ import annotations

from collections.abc import Sequence

from inference_engine.candidates import Corners, keep_candidates
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo import RECIPES as YOLO
from inference_engine.families.yolo.detection import detections
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
    """Decode a batch, image by image."""
    if package.config.is_fused:
        return _DETECTOR.postprocess(outputs, fits, package, params)
    shapes = [array.shape for array in outputs.values()]
    anchors = shapes[0][1:2] or (0,)
    if shapes != [(len(fits), *anchors, 4), (len(fits), *anchors, package.network_class_count)]:
        raise OutputInvalid(
            f"outputs of shape {shapes}, expected boxes ({len(fits)}, anchors, 4) and scores "
            f"({len(fits)}, anchors, {package.network_class_count})"
        )
    found = [
        keep_candidates(boxes, scores.T, boxes[:, :0], package, params, Corners())
        for boxes, scores in zip(*outputs.values(), strict=True)
    ]
    return [detections(kept, fit, package) for kept, fit in zip(found, fits, strict=True)]


RECIPES = {detection.TASK: Recipe(_DETECTOR.preprocess, postprocess, _DETECTOR.check_params)}
