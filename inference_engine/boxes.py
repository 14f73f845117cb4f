"""Boxes and their suppression. Pure numpy, the same result alone and in a batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes
from inference_engine.opencv import import_cv2

#: Candidates that suppression looks at, by score; more than a picture can show, so that confidence 0 stays bounded.
PRE_NMS_TOP_K = 3000


def centre_to_corners(cxcywh: npt.NDArray[np.float32]) -> Boxes:
    """`(n, 4)` centre x, centre y, width, height to `(n, 4)` x_min, y_min, x_max, y_max."""
    half = cxcywh[:, 2:] / 2
    return np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)


def overlaps(one: Boxes, other: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of `(n, 4)` with `(m, 4)` corners, `(n, m)`; 0 where both boxes are empty."""
    size = np.minimum(one[:, None, 2:], other[None, :, 2:]) - np.maximum(one[:, None, :2], other[None, :, :2])
    shared = np.clip(size, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (one, other)]
    joined = areas[0][:, None] + areas[1][None, :] - shared
    result: npt.NDArray[np.float32] = shared / np.maximum(joined, np.float32(1e-12))
    return result


def top_k(scores: npt.NDArray[np.float32], limit: int | None) -> npt.NDArray[np.int64]:
    """Indices of the highest scores, descending; equal scores keep their order. A limit of None gives all."""
    order = np.argsort(-scores, kind="stable")
    return order[:limit]


def suppress(
    xyxy: Boxes,
    scores: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.int64],
    *,
    iou_threshold: float,
    class_agnostic: bool,
    limit: int | None = None,
) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression.

    Of two boxes whose intersection over union is above the threshold (in single precision), the one with the lower
    score goes; of equal scores the later one. Unless `class_agnostic`, only boxes of one class meet.

    Args:
        limit: boxes that stay at most; None: all.

    Returns:
        Indices of the boxes that stay, by score descending.
    """
    if not len(xyxy):
        return np.zeros(0, dtype=np.int64)
    order = top_k(scores, PRE_NMS_TOP_K)
    boxes = xyxy[order].astype(np.float64)
    # OpenCV tells classes apart by moving each by the largest coordinate: boxes that reach over the left or upper
    # border (negative coordinates) would meet boxes of another class, so all are moved to the positive side first.
    boxes -= boxes.min()
    boxes[:, 2:] -= boxes[:, :2]
    classes = np.zeros(len(order), np.int32) if class_agnostic else class_id[order].astype(np.int32)
    # It also drops scores at or below its own threshold; ours were filtered before, so it must drop none.
    kept = import_cv2().dnn.NMSBoxesBatched(
        boxes.tolist(), scores[order].tolist(), classes.tolist(), -1.0, float(iou_threshold)
    )
    return order[np.sort(np.asarray(kept, dtype=np.int64).reshape(-1))][:limit]
