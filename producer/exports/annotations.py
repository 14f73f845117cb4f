"""What a COCO annotation has beside its box: a mask as run lengths, key points. Pure.

Field definitions: https://cocodataset.org/#format-data (keypoints: x, y and v; v is 0 where a point is not labelled, 1
where it is not visible, 2 where it is).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drawing import run_lengths

if TYPE_CHECKING:
    from producer.exports.records import Instance, KeyPoint

# Thousandths of a pixel; float32 coordinates hold no more.
DECIMALS = 3


def annotation_shapes(instance: Instance, threshold: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both files have of an object, and what only the dataset has.

    Args:
        threshold: key points of a lower score are not visible.

    Raises:
        ValueError: a mask does not fill its image.
    """
    shared: dict[str, Any] = {}
    more: dict[str, Any] = {"segmentation": ()}
    if instance.mask is not None:
        more, shared = {"area": _area(instance.mask)}, {"segmentation": instance.mask}
    if instance.key_points is not None:
        points = [visible_point(point, threshold) for point in instance.key_points]
        shared["keypoints"] = [value for point in points for value in point]
        more["num_keypoints"] = sum(visible > 0 for _, _, visible in points)
    for name, value in (("text", instance.text), ("track_id", instance.track_id)):
        if value is not None:
            more[name] = value
    return shared, more


def category_points(record: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """By class id: names of its key points, and its lines with points counted from 1, as COCO counts them."""
    return {
        class_id: {"keypoints": each["names"], "skeleton": [[a + 1, b + 1] for a, b in each["edges"]]}
        for class_id, each in enumerate(record.get("skeletons") or ())
    }


def visible_point(point: KeyPoint, threshold: float) -> tuple[float, float, int]:
    """x, y and COCO's v of a point."""
    x, y, score = point
    if score <= 0:
        return 0, 0, 0
    return round(x, DECIMALS), round(y, DECIMALS), 2 if score >= threshold else 1


def threshold_of(record: Mapping[str, Any]) -> float:
    """The score from which on a record's key points are visible."""
    return float(record.get("key_points_threshold", 0.0))


def corners_wh(xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    """Left, top, width and height of a box, rounded."""
    x, y = round(xyxy[0], DECIMALS), round(xyxy[1], DECIMALS)
    return x, y, round(xyxy[2] - x, DECIMALS), round(xyxy[3] - y, DECIMALS)


def _area(mask: Mapping[str, Any]) -> int:
    height, width = mask["size"]
    return run_lengths.area(str(mask["counts"]).encode("ascii"), (height, width))
