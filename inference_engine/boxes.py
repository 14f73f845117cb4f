"""Boxes and their suppression. Pure numpy, the same result alone and in a batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes

#: Candidates that suppression looks at, by score; more than a picture can show, so that confidence 0 stays bounded.
PRE_NMS_TOP_K = 3000


def centre_to_corners(cxcywh: npt.NDArray[np.float32]) -> Boxes:
    """`(n, 4)` centre x, centre y, width, height to `(n, 4)` x_min, y_min, x_max, y_max."""
    half = cxcywh[:, 2:] / 2
    return np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)


def top_k(scores: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.int64]:
    """Indices of the highest scores, descending; equal scores keep their order."""
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

    Of two boxes whose intersection over union is above the threshold, the one with the lower score goes; of equal
    scores the later one. Unless `class_agnostic`, only boxes of one class meet.

    Args:
        limit: boxes that stay at most; None: all.

    Returns:
        Indices of the boxes that stay, by score descending.
    """
    # Not OpenCV's NMSBoxesBatched: it tells classes apart by shifting them by the largest coordinate, so that boxes
    # which reach over the left or upper border (negative coordinates) meet boxes of another class.
    left = top_k(scores, PRE_NMS_TOP_K)
    corners = xyxy.astype(np.float64)
    areas = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    kept: list[int] = []
    while len(left) and (limit is None or len(kept) < limit):
        best, left = left[0], left[1:]
        kept.append(int(best))
        goes = _overlap(corners, areas, best, left) > iou_threshold
        if not class_agnostic:
            goes &= class_id[left] == class_id[best]
        left = left[~goes]
    return np.asarray(kept, dtype=np.int64)


def _overlap(
    corners: npt.NDArray[np.float64], areas: npt.NDArray[np.float64], one: np.int64, others: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Intersection over union of one box with others; boxes without area overlap nothing."""
    low = np.maximum(corners[one, :2], corners[others, :2])
    high = np.minimum(corners[one, 2:], corners[others, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    union = areas[one] + areas[others] - both
    overlap: npt.NDArray[np.float64] = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return overlap
