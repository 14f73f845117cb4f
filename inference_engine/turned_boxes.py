"""Boxes that may be turned, and their suppression. Pure numpy, the same result alone and in a batch.

A box is centre x, centre y, width, height, and the angle from the x axis to its width in radians, clockwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import PRE_NMS_TOP_K, top_k
from inference_engine.images import Fit

Turned = npt.NDArray[np.float32]  # (n, 5)
#: Keeps divisions and logarithms finite, as in `batch_probiou` (ultralytics 8.x, ultralytics/utils/metrics.py).
_EPSILON = np.float32(1e-7)
#: Boxes that are compared with all others at once: 256 x 3,000 numbers, 3 MB an intermediate result.
_ROWS = 256


def probabilistic_overlaps(one: Turned, other: Turned) -> npt.NDArray[np.float32]:
    """Overlap of `(n, 5)` with `(m, 5)`, `(n, m)` in [0, 1]: one less the Hellinger distance of their Gaussians.

    ProbIoU (arXiv 2106.06072, equations 5 to 9): a box is the Gaussian of a uniform distribution over it.
    """
    a, b, c = (x[:, None] + y[None, :] for x, y in zip(_covariances(one), _covariances(other), strict=True))
    dx, dy = (one[:, None, axis] - other[None, :, axis] for axis in (0, 1))
    joint = a * b - c * c
    own = np.sqrt(_determinants(one)[:, None] * _determinants(other)[None, :])
    mahalanobis = (a * dy**2 + b * dx**2) / (4 * (joint + _EPSILON)) - c * dx * dy / (2 * (joint + _EPSILON))
    distance = mahalanobis + np.log(joint / (4 * own + _EPSILON) + _EPSILON) / 2
    shared: npt.NDArray[np.float32] = 1 - np.sqrt(1 - np.exp(-np.clip(distance, _EPSILON, 100)) + _EPSILON)
    return shared


def _covariances(boxes: Turned) -> tuple[npt.NDArray[Any], ...]:
    """Of x with itself, of y with itself, of x with y, `(n,)` each."""
    along, across = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return along * cos**2 + across * sin**2, along * sin**2 + across * cos**2, (along - across) * cos * sin


def _determinants(boxes: Turned) -> npt.NDArray[Any]:
    # Turning changes no determinant, so it comes of the sides: the covariances' difference could be below 0.
    found: npt.NDArray[Any] = (boxes[:, 2] * boxes[:, 3]) ** 2 / 144
    return found


def suppress_turned(
    boxes: Turned,
    scores: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.int64],
    *,
    iou_threshold: float,
    class_agnostic: bool,
    limit: int | None = None,
) -> npt.NDArray[np.int64]:
    """Suppression as the exporter of these heads does it (`TorchNMS.fast_nms`, ultralytics 8.x, utils/nms.py).

    A box goes where its ProbIoU with a box of a higher score reaches the threshold, also where that box goes itself
    (Fast NMS, arXiv 1904.02689, section 3.3). Unless `class_agnostic`, only boxes of one class meet.

    Args:
        limit: boxes that stay at most; None: all.

    Returns:
        Indices of the boxes that stay, by score descending.
    """
    order = top_k(scores, PRE_NMS_TOP_K)
    turned, classes = boxes[order], class_id[order]
    stays = np.ones(len(order), dtype=np.bool_)
    for start in range(0, len(order), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(order)))
        meets = np.arange(rows[-1] + 1)[None, :] < rows[:, None]
        if not class_agnostic:
            meets &= classes[rows][:, None] == classes[None, : rows[-1] + 1]
        overlap = probabilistic_overlaps(turned[rows], turned[: rows[-1] + 1])
        stays[rows] = ~((overlap >= np.float32(iou_threshold)) & meets).any(axis=1)
    return order[stays][:limit]


def turned_to_original(boxes: Turned, fit: Fit) -> Turned:
    """Map turned boxes `(n, 5)` from network pixels to pixels of the original image.

    The width comes out as the longer side, the angle in [0, pi): the same box always has the same numbers. Where the
    axes are scaled differently a turned rectangle becomes a parallelogram; each of its sides is then taken for itself.
    Boxes are not cut at the border, which would turn or bend them.
    """
    scale, pad, offset = (np.asarray(pair, dtype=np.float32) for pair in (fit.scale_xy, fit.pad_xy, fit.offset_xy))
    centre = (boxes[:, :2] - pad) / scale + offset
    across = np.stack([-np.sin(boxes[:, 4]), np.cos(boxes[:, 4])], axis=1) * boxes[:, 3:4] / scale
    along = np.stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])], axis=1) * boxes[:, 2:3] / scale
    sides = np.linalg.norm(along, axis=1), np.linalg.norm(across, axis=1)
    is_along = sides[0] >= sides[1]
    longer = np.where(is_along[:, None], along, across)
    angle = np.mod(np.arctan2(longer[:, 1], longer[:, 0]), np.float32(np.pi))
    found: Turned = np.column_stack([centre, np.maximum(*sides), np.minimum(*sides), angle]).astype(np.float32)
    return found
