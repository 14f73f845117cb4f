"""How alike two predictions' instances are, each with each, by what their task adds to a box. Pure.

A likeness is `(n, m)` in [0, 1] of the n instances of one prediction and the m of the other, 1 for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import overlaps
from inference_engine.tasks import detection, instance_segmentation, keypoints, oriented
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.turned_boxes import probabilistic_overlaps

Instances: TypeAlias = Detections | InstanceDetections | KeyPoints | OrientedDetections
Likeness = npt.NDArray[np.float32]

#: Tolerance of every point: COCO's go from 0.025 (an eye) to 0.107 (a hip), and other skeletons have none.
_SIGMA = 0.05


def _of_boxes(one: Detections, other: Detections) -> Likeness:
    return overlaps(one.xyxy, other.xyxy)


def _of_masks(one: InstanceDetections, other: InstanceDetections) -> Likeness:
    """Intersection over union of the masks, without decoding them; two empty masks are told apart by their boxes."""
    from pycocotools import mask as coco

    boxes = overlaps(one.xyxy, other.xyxy)
    if not len(one) or not len(other):
        return boxes
    found = np.asarray(coco.iou(one.masks.to_coco(), other.masks.to_coco(), [0] * len(other)), dtype=np.float32)
    are_empty = (one.masks.areas()[:, None] == 0) & (other.masks.areas()[None, :] == 0)
    return np.where(are_empty, boxes, found)


def _of_points(one: KeyPoints, other: KeyPoints) -> Likeness:
    """COCO's object keypoint similarity over the points that either is sure of, and the boxes' overlap at most.

    The area is that of the box (cocodataset/cocoapi, `computeOks`, where a person's is half of it).
    """
    away = ((one.xy[:, None].astype(np.float64) - other.xy[None]) ** 2).sum(axis=3)
    area = np.clip(one.xyxy[:, 2:] - one.xyxy[:, :2], 0, None).prod(axis=1).astype(np.float64)[:, None, None]
    near = np.exp(-away / (2 * (2 * _SIGMA) ** 2 * np.maximum(area, 1.0)))
    counts = np.maximum(one.key_points_confidence[:, None], other.key_points_confidence[None]).astype(np.float64)
    total = counts.sum(axis=2)
    similar = np.where(total > 0, (near * counts).sum(axis=2) / np.maximum(total, 1e-12), 1.0)
    return np.minimum(similar.astype(np.float32), overlaps(one.xyxy, other.xyxy))


def _of_turned(one: OrientedDetections, other: OrientedDetections) -> Likeness:
    return probabilistic_overlaps(one.xywhr, other.xywhr)


#: By task: what is compared, for a reader, and how.
LIKENESSES: Mapping[str, tuple[str, Callable[[Any, Any], Likeness]]] = {
    detection.TASK: ("boxes", _of_boxes),
    instance_segmentation.TASK: ("masks", _of_masks),
    keypoints.TASK: ("key points", _of_points),
    oriented.TASK: ("turned boxes", _of_turned),
}
