"""How much the shapes of two records overlap, each with each, and which of them are one object. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from drawing import run_lengths
from drawing.opencv import import_cv2
from producer.exports.outlines import turned_corners

_Array = npt.NDArray[np.float64]

#: Half of the union: the line that COCO and Pascal VOC draw between the same object and another.
SAME_OBJECT = 0.5


def overlaps(one: Mapping[str, Any], other: Mapping[str, Any]) -> _Array:
    """Intersection over union `(n, m)` of masks, turned boxes, spans of time or upright boxes: what both records have.

    Raises:
        ValueError: a mask does not fill its image.
    """
    if "masks" in one and "masks" in other:
        return _of_masks(one["masks"], other["masks"])
    if "xywhr" in one and "xywhr" in other:
        return _of_turned(one["xywhr"], other["xywhr"])
    if "start_frame" in one and "start_frame" in other:
        return _of_boxes(_spans(one), _spans(other))
    return _of_boxes(_rows(one["xyxy"], 4), _rows(other["xyxy"], 4))


def match(iou: _Array, is_same_class: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pair objects that overlap by half or more, those of one class before all others, the best overlap first.

    Greedy, as evaluation on COCO is: the pair that fits best is never given up for a better sum, and both orders of the
    jobs give the same pairs.

    Returns:
        Index in the first, index in the second; each at most once.
    """
    places = [(int(i), int(j)) for i, j in np.argwhere(iou >= SAME_OBJECT)]
    places.sort(key=lambda at: (not is_same_class[at], -iou[at], min(at), max(at)))
    taken_a, taken_b, pairs = set[int](), set[int](), []
    for i, j in places:
        if i not in taken_a and j not in taken_b:
            pairs.append((i, j))
            taken_a.add(i)
            taken_b.add(j)
    return pairs


def _of_boxes(one: _Array, other: _Array) -> _Array:
    """Boxes without an area overlap with none but their equals."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area_one, area_other = ((each[:, 2:] - each[:, :2]).clip(0).prod(axis=1) for each in (one, other))
    union = area_one[:, None] + area_other[None, :] - shared
    is_equal = (one[:, None] == other[None]).all(axis=2)
    found: _Array = np.where(is_equal, 1.0, shared / np.where(union > 0, union, 1.0))
    return found


def _of_masks(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> _Array:
    """Without decoding them, each checked first: what compares them believes their counts."""
    from pycocotools import mask as coco

    if not one or not other:
        return np.zeros((len(one), len(other)))
    for mask in (*one, *other):
        run_lengths.area(str(mask["counts"]).encode("ascii"), tuple(mask["size"]))
    found = np.nan_to_num(np.asarray(coco.iou(list(one), list(other), [0] * len(other)), dtype=np.float64))
    counts_one, counts_other = (np.asarray([each["counts"] for each in side]) for side in (one, other))
    return np.where(counts_one[:, None] == counts_other[None], 1.0, found)


def _of_turned(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> _Array:
    """Exact: the area that two rectangles share is a polygon's."""
    cv2 = import_cv2()
    found = np.zeros((len(one), len(other)))
    corners_one, corners_other = (
        [np.asarray(turned_corners(each), np.float32) for each in side] for side in (one, other)
    )
    for i, first in enumerate(corners_one):
        for j, second in enumerate(corners_other):
            shared = float(cv2.intersectConvexConvex(first, second)[0])
            union = one[i][2] * one[i][3] + other[j][2] * other[j][3] - shared
            found[i, j] = 1.0 if list(one[i]) == list(other[j]) else shared / union if union > 0 else 0.0
    return found


def _spans(record: Mapping[str, Any]) -> _Array:
    """Times as boxes one high."""
    return _rows([(start, 0, end, 1) for start, end in zip(record["start_frame"], record["end_frame"], strict=True)], 4)


def _rows(values: Any, width: int) -> _Array:
    return np.asarray(values, dtype=np.float64).reshape(-1, width)
