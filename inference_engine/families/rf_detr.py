"""RF-DETR as its exporter writes it: `dets`, `labels` and, of a segmenter, `masks`; no box suppresses another.

`dets (n, queries, 4)` are centre and size as shares of the input, `labels (n, queries, classes or one more)` logits,
and `masks (n, queries, h, w)` logits on a grid over the input (`export` of roboflow/rf-detr 1.x). The best query-class
pairs count, as many as there are queries, by a sigmoid a class (`PostProcess` in rfdetr/models/lwdetr.py); a class
beyond the names stands for no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners
from inference_engine.candidates import Kept, best_pairs, check_query_params, keep_suppressed
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo.detection import detections
from inference_engine.images import Fit, network_hw, to_original
from inference_engine.mask_planes import draw_masks, positive_region
from inference_engine.model import Recipe, smoothly_fitted
from inference_engine.packages import ModelPackage
from inference_engine.planes import plane_step
from inference_engine.scores import sigmoid
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection, instance_segmentation
from inference_engine.tasks.detection import DetectionParams, Detections
from inference_engine.tasks.instance_segmentation import InstanceDetections


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    return [
        detections(kept, fit, package) for kept, fit in zip(_kept(outputs, fits, package, params), fits, strict=True)
    ]


def segment(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[InstanceDetections | EngineError]:
    """Decode a batch with masks, image by image."""
    masks = next((array for array in outputs.values() if array.ndim == 4), None)
    queries = next(iter(outputs.values())).shape[:2]
    if masks is None or masks.shape[:2] != queries:
        raise OutputInvalid(f"outputs of shape {_shapes(outputs)}, expected masks {(*queries, 'h', 'w')} among them")
    found = _kept(outputs, fits, package, params)
    return [_instances(*each, package) for each in zip(found, masks, fits, strict=True)]


def _instances(
    kept: Kept | EngineError, masks: npt.NDArray[Any], fit: Fit, package: ModelPackage
) -> InstanceDetections | EngineError:
    if isinstance(kept, EngineError):
        return kept
    planes = [masks[query].astype(np.float32, copy=False) for query in kept.extra[:, 0].astype(int)]
    if not all(np.isfinite(plane).all() for plane in planes):
        return OutputInvalid("the model gave masks that are not finite numbers for this image")
    step = plane_step(masks.shape[1:], fit, package.config.network_input)
    drawn = draw_masks(planes, (positive_region(plane, fit, step) for plane in planes), fit, step)
    xyxy = to_original(kept.boxes, fit)
    return InstanceDetections(xyxy, kept.confidence, kept.class_id, drawn, fit.original_hw, package.class_names)


def _kept(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Kept | EngineError]:
    """Of each image; the number beside a box is its query's."""
    classes, arrays = package.network_class_count, list(outputs.values())
    shapes = [(len(fits), *arrays[0].shape[1:2], size) for size in (4, classes, classes + 1)]
    if len(arrays) < 2 or arrays[0].shape != shapes[0] or arrays[1].shape not in shapes[1:]:
        raise OutputInvalid(
            f"outputs of shape {_shapes(outputs)}, expected boxes ({len(fits)}, queries, 4) and logits "
            f"({len(fits)}, queries, {classes} or {classes + 1})"
        )
    return [_decode(*each, package, params) for each in zip(arrays[0], arrays[1], fits, strict=True)]


def _decode(
    boxes: npt.NDArray[Any], logits: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> Kept | EngineError:
    if not np.isfinite(logits).all():
        return OutputInvalid("the model gave scores that are not finite numbers for this image")
    query, class_id, score = best_pairs(sigmoid(logits))
    is_object = class_id < package.network_class_count
    query, class_id, score = query[is_object], class_id[is_object], score[is_object]
    height, width = network_hw(fit, package.config.network_input)
    share = np.asarray((width, height, width, height), dtype=np.float32)
    corners = centre_to_corners(boxes[query].astype(np.float32, copy=False)) * share
    return keep_suppressed(np.column_stack([corners, score, class_id, query]), package, params)


def _shapes(outputs: Tensors) -> list[tuple[int, ...]]:
    return [array.shape for array in outputs.values()]


RECIPES = {
    detection.TASK: Recipe(smoothly_fitted, postprocess, check_query_params),
    instance_segmentation.TASK: Recipe(smoothly_fitted, segment, check_query_params),
}
